/* A process-wide barrier for wine 8.0, whose NtFlushProcessWriteBuffers does nothing. ci/targets.sh
 * preloads it.
 *
 * After wine's loader has opened ntdll.so, the first instructions of that function become a jump to
 * `barrier` below. If a newer wine has its own barrier, this one replaces it and is as good. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PRIVATE_EXPEDITED = 8, REGISTER_PRIVATE_EXPEDITED = 16 };

static void must(int done, const char *what)
{
    if (!done) {
        fprintf(stderr, "wine_barrier: %s\n", what);
        abort();
    }
}

static __attribute__((ms_abi)) void barrier(void)
{
    must(syscall(SYS_membarrier, PRIVATE_EXPEDITED, 0, 0) == 0, "membarrier fails");
}

static void replace(unsigned char *function)
{
    /* mov $barrier, %rax; jmp *%rax */
    unsigned char jump[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0};
    void *to = (void *)barrier;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)function & ~(page - 1);
    size_t length = (uintptr_t)function + sizeof jump - from;

    memcpy(jump + 2, &to, sizeof to);
    must(mprotect((void *)from, length, PROT_READ | PROT_WRITE | PROT_EXEC) == 0, "mprotect fails");
    memcpy(function, jump, sizeof jump);
    must(mprotect((void *)from, length, PROT_READ | PROT_EXEC) == 0, "mprotect fails");
}

void *dlopen(const char *name, int flags)
{
    static void *(*real)(const char *, int);
    const char *last;
    void *handle, *function;

    if (!real)
        real = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    handle = real(name, flags);
    last = name ? strrchr(name, '/') : NULL;
    if (handle && strcmp(last ? last + 1 : name ? name : "", "ntdll.so") == 0) {
        function = dlsym(handle, "NtFlushProcessWriteBuffers");
        must(function != NULL, "this wine has no NtFlushProcessWriteBuffers");
        must(syscall(SYS_membarrier, REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0,
             "the system refuses membarrier");
        replace(function);
    }
    return handle;
}
