/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service: telling the service manager that started us how the service is, as sd_notify(3) has it. It never
 * waits, and it must not know what makes the service so.
 */
#pragma once

#include "view/status.h"

typedef struct SfsService SfsService;

/* Takes who is to be told out of the environment, so that no other process inherits that. Only what stays in
 * the foreground tells: the rest is known by how its start ends. */
SfsService *sfs_service_new(gboolean foreground);
void sfs_service_free(SfsService *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SfsService, sfs_service_free)

/* FALSE: nobody is to be told, and the rest does nothing. */
gboolean sfs_service_is_told(const SfsService *service);

/* What it is from now on; reloading: until it is ready again; failed: why, in one line. */
void sfs_service_ready(SfsService *service);
void sfs_service_reloading(SfsService *service);
void sfs_service_stopping(SfsService *service);
void sfs_service_failed(SfsService *service, const char *why);

/* What the status file says: told at once, but a few times a second at most. */
void sfs_service_summary(SfsService *service, const SfsSummary *summary);

/* The monotonic time of the next sfs_service_tell; 0: there is nothing to tell. */
gint64 sfs_service_due(const SfsService *service);

/* Tells what is due. TRUE: the last summary is told; the next may come. */
gboolean sfs_service_tell(SfsService *service);
