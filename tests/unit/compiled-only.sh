#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# compiled-only.sh WRAPPER... PROGRAM [ARGUMENT...]
#
# The exe_wrapper of the test setup 'valgrind'. meson puts it in front of every test, Python scripts too, where
# valgrind would check nothing but the interpreter: those are run as they are.
for word; do
    case $word in
    *.py) script=yes ;;
    esac
done
if [ -n "${script-}" ]; then
    while [ $# -gt 0 ]; do
        case $1 in
        */python*) exec "$@" ;;
        *) shift ;;
        esac
    done
fi
exec "$@"
