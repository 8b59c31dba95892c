/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: what every target defines. It aborts if what it checks does not hold. */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
