// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: a write to /proc/fault makes the fault that it names, in the
 * writer's context, as often as asked.
 */
#include <linux/bug.h>
#include <linux/module.h>
#include <linux/proc_fs.h>
#include <linux/refcount.h>
#include <linux/string.h>
#include <linux/uaccess.h>

static noinline void fault_store(unsigned long address)
{
	WRITE_ONCE(*(int *)address, 1);
}

static noinline void fault_null(void)
{
	fault_store(0x10);
}

/* No page is ever there: error codes look like such addresses. */
static noinline void fault_paging(void)
{
	fault_store(-4096UL);
}

/* Neither a user's nor the kernel's: bits 63 to 47 differ. */
static noinline void fault_protection(void)
{
	fault_store(0xdead000000000100UL);
}

static noinline void fault_bug(void)
{
	BUG();
}

static noinline void fault_divide(void)
{
	volatile int zero = 0;

	zero = 100 / zero;
}

static noinline void fault_warn(void)
{
	WARN(1, "faults: a warning\n");
}

static noinline void fault_refcount(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

static const struct fault {
	const char *name;
	void (*make)(void);
} faults[] = {
	{ "null", fault_null },
	{ "paging", fault_paging },
	{ "protection", fault_protection },
	{ "bug", fault_bug },
	{ "divide", fault_divide },
	{ "warn", fault_warn },
	{ "refcount", fault_refcount },
};

static ssize_t fault_write(struct file *file, const char __user *from,
			   size_t count, loff_t *pos)
{
	char name[16] = "";
	unsigned int i;

	if (count >= sizeof(name) || copy_from_user(name, from, count))
		return -EINVAL;
	strim(name);
	for (i = 0; i < ARRAY_SIZE(faults); i++) {
		if (!strcmp(name, faults[i].name)) {
			faults[i].make();
			return count;
		}
	}
	return -EINVAL;
}

static const struct proc_ops fault_ops = { .proc_write = fault_write };

static int __init fault_init(void)
{
	return proc_create("fault", 0200, NULL, &fault_ops) ? 0 : -ENOMEM;
}
module_init(fault_init);

/* Without an exit function the module stays, as those who died in it do. */
MODULE_DESCRIPTION("Makes faults on request, for virtio-pstore's tests");
MODULE_LICENSE("GPL");
