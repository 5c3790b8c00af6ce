/* Preloaded: setsockopt gives no receive buffer above MOST bytes, as the kernel does where net.core.rmem_max is that. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    static int (*next)(int, int, int, const void *, socklen_t);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
    int most = MOST;
    if (level == SOL_SOCKET && name == SO_RCVBUF && size == sizeof most && *(const int *)value > most) value = &most;
    return next(fd, level, name, value, size);
}
