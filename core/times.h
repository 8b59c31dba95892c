/* SPDX-License-Identifier: Apache-2.0 */
/*
 * times: which content of a computed file was shown last, and the times to show for it, for programs that
 * poll. It must not know where contents come from. Whoever uses one locks it.
 */
#pragma once

#include "snapshot.h"

/* A computed file's last snapshot, with its text or without, and what its times may be from now on. */
typedef struct {
    ShieldSnapshot *last;
    struct timespec floor;   /* the content in last may not look older than this */
    struct timespec highest; /* the latest time ever shown */
    struct timespec source;  /* what the sources said when last was made */
} ShieldTimes;

/* Sets the time and the serial of the snapshot that is to be shown next: the latest source's time, but never
 * one at which another content has been times, for programs that poll must see every change. */
void shield_times_stamp(ShieldTimes *times, ShieldSnapshot *snapshot, struct timespec latest);

/* The latest time of the n files that were read; if there is none, that of the directory dirfd (-1: none). */
struct timespec shield_latest_time(int dirfd, ShieldReading *const *readings, guint n);
