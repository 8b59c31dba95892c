/* SPDX-License-Identifier: Apache-2.0 */
/* error: makes the messages and errnos of error.h; see there. */
#include "error.h"

#include <errno.h>

#include "text.h"

/* Not G_DEFINE_QUARK, whose variable is written without a lock by whichever threads come first. */
GQuark shield_error_quark(void)
{
    static gsize quark;

    if (g_once_init_enter(&quark))
        g_once_init_leave(&quark, g_quark_from_static_string("shield-error-quark"));
    return (GQuark)quark;
}

char *shield_error_subject(const char *label, const char *name)
{
    g_autofree char *label_escaped = label ? shield_text_escape(label, -1) : NULL;
    g_autofree char *name_escaped = name ? shield_text_escape(name, -1) : NULL;

    if (!label_escaped)
        return g_steal_pointer(&name_escaped);
    if (!name_escaped)
        return g_steal_pointer(&label_escaped);
    return g_strconcat(label_escaped, g_str_has_suffix(label, "/") ? "" : "/", name_escaped, NULL);
}

void shield_error_set(GError **error, int errnum, const char *label, const char *name, const char *format,
                      ...)
{
    if (!error)
        return;

    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);

    g_autofree char *subject = shield_error_subject(label, name);
    g_set_error(error, SHIELD_ERROR, errnum, "%s: %s", subject ? subject : "?", text);
}

void shield_error_set_errno(GError **error, int errnum, const char *label, const char *name)
{
    switch (errnum) {
    case ELOOP:
        shield_error_set(error, errnum, label, name, "symbolic link: not followed");
        break;
    case EACCES:
    case EPERM:
        shield_error_set(error, EACCES, label, name, "permission denied: check its mode and owner");
        break;
    default:
        shield_error_set(error, errnum, label, name, "%s", g_strerror(errnum));
        break;
    }
}

int shield_error_errno(const GError *error)
{
    return error && error->domain == SHIELD_ERROR && error->code > 0 ? error->code : EIO;
}

char *shield_error_line(const char *label, const char *name, const char *text)
{
    g_autofree char *subject = shield_error_subject(label, name);

    return g_strdup_printf("%s: %s", subject, text);
}

void shield_error_add_line(GPtrArray *lines, const char *label, const char *name, const char *text)
{
    g_ptr_array_add(lines, shield_error_line(label, name, text));
}

gboolean shield_error_is_shortage(int errnum)
{
    return errnum == EMFILE || errnum == ENFILE || errnum == ENOMEM;
}
