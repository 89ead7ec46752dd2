/* See security_win.h. The default rights of a named pipe let everyone read, so they are
 * replaced. */
#include "security_win.h"

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>

TOKEN_USER *
epb_security_user(void)
{
    HANDLE token = NULL;
    DWORD size = 0;
    TOKEN_USER *user = NULL;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        return NULL;
    }
    (void)GetTokenInformation(token, TokenUser, NULL, 0, &size);
    if (size != 0) {
        user = malloc(size);
    }
    if (user != NULL && !GetTokenInformation(token, TokenUser, user, size, &size)) {
        free(user);
        user = NULL;
    }
    (void)CloseHandle(token);
    return user;
}

/* Whether objects that this process makes get this owner. The system takes the owner from
 * the token. It is the user or, for some accounts, a group (the administrators; in Wine
 * the users of the domain). */
static bool
is_owner_of_new_objects(PSID sid)
{
    union {
        TOKEN_OWNER owner;
        BYTE bytes[sizeof(TOKEN_OWNER) + SECURITY_MAX_SID_SIZE];
    } own;
    HANDLE token = NULL;
    DWORD size = 0;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) {
        return false;
    }
    bool same = GetTokenInformation(token, TokenOwner, &own, sizeof(own), &size) &&
                EqualSid(sid, own.owner.Owner);
    (void)CloseHandle(token);
    return same;
}

bool
epb_security_owner_trusted(HANDLE pipe)
{
    PSID owner = NULL;
    PSECURITY_DESCRIPTOR descriptor = NULL;
    TOKEN_USER *user = epb_security_user();
    bool trusted = false;

    if (user != NULL &&
        GetSecurityInfo(pipe, SE_KERNEL_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL,
                        NULL, NULL, &descriptor) == ERROR_SUCCESS &&
        owner != NULL) {
        trusted = EqualSid(owner, user->User.Sid) || is_owner_of_new_objects(owner) ||
                  IsWellKnownSid(owner, WinLocalSystemSid) ||
                  IsWellKnownSid(owner, WinBuiltinAdministratorsSid);
    }
    if (descriptor != NULL) {
        (void)LocalFree(descriptor);
    }
    free(user);
    return trusted;
}

static bool
apply(HANDLE pipe, const char *text)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    PACL rights = NULL;
    BOOL present = FALSE;
    BOOL defaulted = FALSE;

    if (!ConvertStringSecurityDescriptorToSecurityDescriptorA(text, SDDL_REVISION_1,
                                                              &descriptor, NULL)) {
        return false;
    }
    bool done =
        GetSecurityDescriptorDacl(descriptor, &present, &rights, &defaulted) &&
        SetSecurityInfo(pipe, SE_KERNEL_OBJECT,
                        DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
                        NULL, NULL, rights, NULL) == ERROR_SUCCESS;
    (void)LocalFree(descriptor);
    return done;
}

bool
epb_security_restrict(HANDLE pipe)
{
    char text[256];
    char *sid = NULL;
    bool done = false;

    TOKEN_USER *user = epb_security_user();

    if (user != NULL && ConvertSidToStringSidA(user->User.Sid, &sid)) {
        /* A protected list; the entry that denies the network precedes those that
         * allow. */
        int size =
            snprintf(text, sizeof(text), "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;%s)", sid);
        done = size > 0 && (size_t)size < sizeof(text) && apply(pipe, text);
        (void)LocalFree(sid);
    }
    free(user);
    return done;
}
