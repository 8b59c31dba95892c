/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz: what targets share; see fuzz.h. */
#include "fuzz.h"

#include <string.h>

uint8_t fuzz_byte(FuzzInput *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

GBytes *fuzz_bytes(FuzzInput *input, size_t len)
{
    size_t taken = MIN(len, input->size);
    GBytes *bytes = g_bytes_new(input->data, taken);

    input->data += taken;
    input->size -= taken;
    return bytes;
}

char *fuzz_word(FuzzInput *input)
{
    const uint8_t *end = input->size > 0 ? memchr(input->data, '\0', input->size) : NULL;
    size_t len = end ? (size_t)(end - input->data) : input->size;
    char *word = g_strndup((const char *)input->data, len);

    input->data += len + (end != NULL);
    input->size -= len + (end != NULL);
    return word;
}

guint fuzz_count_descriptors(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    guint count = 0;

    while (g_dir_read_name(dir))
        count++;
    return count;
}

static GLogWriterOutput drop(GLogLevelFlags level, const GLogField *fields, gsize n, gpointer data)
{
    (void)data;
    return level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)
               ? g_log_writer_standard_streams(level, fields, n, NULL)
               : G_LOG_WRITER_HANDLED;
}

void fuzz_log_nothing(void)
{
    static gboolean done;

    if (!done)
        g_log_set_writer_func(drop, NULL, NULL);
    done = TRUE;
}
