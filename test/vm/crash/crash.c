// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: dies in a chosen way as it is loaded.
 */
#include <linux/bug.h>
#include <linux/module.h>
#include <linux/workqueue.h>

static char *how = "oops";
module_param(how, charp, 0);
MODULE_PARM_DESC(how, "oops: a NULL pointer is written to, from a workqueue; warn: WARN()");

static int *crash_nowhere;

static void crash_write_null(struct work_struct *work)
{
	WRITE_ONCE(*READ_ONCE(crash_nowhere), 1);
}

static DECLARE_WORK(crash_work, crash_write_null);

static int __init crash_init(void)
{
	if (!strcmp(how, "oops"))
		schedule_work(&crash_work);
	else if (!strcmp(how, "warn"))
		WARN(1, "crash: a warning\n");
	else
		return -EINVAL;
	return 0;
}
module_init(crash_init);

/* Without an exit function the module stays, as its work may. */
MODULE_DESCRIPTION("Crashes on request, for virtio-pstore's tests");
MODULE_LICENSE("GPL");
