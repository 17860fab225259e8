// SPDX-License-Identifier: GPL-2.0
/*
 * A program that is linked to where x86-64's kernel is, with an inlined
 * function.
 */
static inline __attribute__((always_inline)) void inlined(volatile int *where)
{
	*where = 1;
}

/* Aligned, so that each is as long as any compiler makes it. */
__attribute__((noinline, noclone, aligned(64)))
void broken_write(volatile int *where)
{
	inlined(where);
}

__attribute__((noinline, noclone, aligned(64)))
int caller(volatile int *where)
{
	broken_write(where);
	return *where;
}

__attribute__((aligned(64)))
void _start(void)
{
	caller(0);
	for (;;)
		;
}
