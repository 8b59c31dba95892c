/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: what every target defines, and what those share that need more than bytes. What they check aborts if
 * it does not hold. */
#pragma once

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is left of an input. Each of these takes something off its front; what is not there is 0, or empty. */
typedef struct {
    const uint8_t *data;
    size_t size;
} FuzzInput;

uint8_t fuzz_byte(FuzzInput *input);
char *fuzz_word(FuzzInput *input); /* up to a NUL, which is taken too; the caller frees it */
GBytes *fuzz_bytes(FuzzInput *input, size_t len);

/* How many descriptors this process has open. */
guint fuzz_count_descriptors(void);

/* Nothing is logged but what is fatal. */
void fuzz_log_nothing(void);
