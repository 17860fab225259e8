// SPDX-License-Identifier: MIT
/*
 * Debian's user-mode-linux of 6.1 keeps 2696 bytes of a guest thread's floating-point state. A processor with AMX has
 * 11008, and Linux refuses to set less than all of it: every guest would end at its first instruction ("ptrace set fp
 * regs failed, errno = 14"). Preloaded, this sets the bytes there are and leaves the others as they were.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* More than any processor has today; a larger state fails as it does without this file. */
static char whole[65536];

static long raw(long request, long pid, void *addr, void *data)
{
	return syscall(SYS_ptrace, request, pid, addr, data);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	long pid, result;
	void *addr, *data;
	long peeked = 0;

	va_start(args, request);
	pid = va_arg(args, pid_t);
	addr = va_arg(args, void *);
	data = va_arg(args, void *);
	va_end(args);

	/* The C library's wrapper returns the word, where the system call stores it. */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA ||
	    request == PTRACE_PEEKUSER) {
		result = raw(request, pid, addr, &peeked);
		if (result < 0)
			return result;
		errno = 0;
		return peeked;
	}

	result = raw(request, pid, addr, data);
	if (result < 0 && errno == EFAULT && request == PTRACE_SETREGSET &&
	    addr == (void *)NT_X86_XSTATE) {
		const struct iovec *given = data;
		struct iovec all = { whole, sizeof(whole) };

		if (raw(PTRACE_GETREGSET, pid, addr, &all) < 0)
			return -1;
		if (given->iov_len >= all.iov_len) {
			errno = EFAULT;
			return -1;
		}
		memcpy(whole, given->iov_base, given->iov_len);
		return raw(PTRACE_SETREGSET, pid, addr, &all);
	}
	return result;
}
