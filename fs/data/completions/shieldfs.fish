# SPDX-License-Identifier: Apache-2.0
# Completion of shieldfs for fish.

# An option list: the last of a,b=1,c, or its value.
function __shieldfs_options
    # The option may stand before its list, in one word.
    set -l token (string replace --regex -- '^-[fds]*o' '' (commandline --current-token --cut-at-cursor))
    set -l before (string match --regex -- '^.*,' $token)
    set -l offered \
        settle=\t'how long to wait for a list that is being written' \
        poll=\t'how often to compare what makes no events' \
        max_size=\t'the longest list to read' \
        cache=\t'how much to keep in memory' \
        loglevel=\t'what the log tells' \
        fsname=\t'what mount(8) shows as the device' \
        nonempty\t'mount over a directory that is not empty' \
        allow_other\t'let other users in' \
        debug\t'stay in the foreground, with a line for each request'
    switch (string replace --regex -- '^.*,' '' $token)
        case 'settle=*'
            set offered settle={0,250,1000,5000}\tmilliseconds
        case 'poll=*'
            set offered poll={1,2,10,60}\tseconds
        case 'max_size=*'
            set offered max_size={1M,16M,64M,1G}\t
        case 'cache=*'
            set offered cache={64M,192M,1G}\t
        case 'loglevel=*'
            set offered loglevel={error,warning,info,debug}\t
    end
    for word in $offered
        printf '%s%s\n' "$before" $word
    end
end

# Directories joined by colons.
function __shieldfs_source
    set -l token (commandline --current-token --cut-at-cursor)
    set -l before (string match --regex -- '^.*:' $token)
    for directory in (__fish_complete_directories (string replace --regex -- '^.*:' '' $token) '')
        printf '%s%s\n' "$before" $directory
    end
end

complete --command shieldfs --no-files --arguments '(__shieldfs_source)'
complete --command shieldfs --short-option f --description 'stay in the foreground; log to standard error'
complete --command shieldfs --short-option d --description 'the same, with a line for each request'
complete --command shieldfs --short-option s --description 'one thread only'
complete --command shieldfs --short-option o --exclusive --arguments '(__shieldfs_options)' --description 'mount options'
complete --command shieldfs --short-option h --long-option help --description 'print a summary'
complete --command shieldfs --short-option V --long-option version --description 'print the versions'
