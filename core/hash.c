/* SPDX-License-Identifier: Apache-2.0 */
/* hash: SipHash, and the key of the process; see hash.h. */
#include "hash.h"

#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

static guint64 key[2];

/* The key. Where the kernel has no random bytes yet, or gives none, those that it gave the process at its
 * start must do. */
static void draw_key(void)
{
    static gsize drawn;

    if (!g_once_init_enter(&drawn))
        return;
    if (getrandom(key, sizeof key, GRND_NONBLOCK) != sizeof key)
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel gives the pointer as a number */
        memcpy(key, (const void *)getauxval(AT_RANDOM), sizeof key);
    g_once_init_leave(&drawn, 1);
}

typedef struct {
    guint64 a, b, c, d;
} Sip;

static inline guint64 rotated(guint64 word, guint by)
{
    return word << by | word >> (64 - by);
}

static inline void sip_round(Sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotated(s->b, 13) ^ s->a;
    s->d = rotated(s->d, 16) ^ s->c;
    s->a = rotated(s->a, 32) + s->d;
    s->c += s->b;
    s->d = rotated(s->d, 21) ^ s->a;
    s->b = rotated(s->b, 17) ^ s->c;
    s->c = rotated(s->c, 32);
}

static inline void sip_word(Sip *s, guint64 word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

guint64 shield_siphash(guint64 key0, guint64 key1, ShieldSlice entry)
{
    Sip s = {key0 ^ 0x736f6d6570736575, key1 ^ 0x646f72616e646f6d, key0 ^ 0x6c7967656e657261,
             key1 ^ 0x7465646279746573};
    guint64 word = 0;
    gsize at = 0;

    for (; entry.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, entry.data + at, sizeof word);
        sip_word(&s, GUINT64_FROM_LE(word));
    }
    word = (guint64)entry.len << 56;
    for (guint shift = 0; at < entry.len; at++, shift += 8)
        word |= (guint64)(guint8)entry.data[at] << shift;
    sip_word(&s, word);
    s.c ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

guint32 shield_hash(ShieldSlice entry)
{
    draw_key();
    return (guint32)(shield_siphash(key[0], key[1], entry) >> 32);
}

guint shield_hash_name(const void *name)
{
    return shield_hash((ShieldSlice){name, strlen(name)});
}

ShieldDigest shield_digest(GBytes *text)
{
    ShieldSlice whole;

    whole.data = g_bytes_get_data(text, &whole.len);
    draw_key();
    return (ShieldDigest){{shield_siphash(key[0], key[1], whole), shield_siphash(~key[0], ~key[1], whole)}};
}

gboolean shield_digest_equal(const ShieldDigest *a, const ShieldDigest *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}
