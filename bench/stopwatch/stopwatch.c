// SPDX-License-Identifier: GPL-2.0
/*
 * Benchmark module: how long a panic takes, from the first panic notifier to
 * the end of kmsg_dump(). Loaded before the driver it is the first notifier;
 * its dumper is registered with `arm`, after the driver's, and so the last.
 * The time goes to port 0xe9, which no console and no log has to do with.
 */
#include <linux/io.h>
#include <linux/kmsg_dump.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/panic_notifier.h>
#include <linux/timekeeping.h>

#define STOPWATCH_PORT	0xe9

static u64 stopwatch_start;

static int stopwatch_on_panic(struct notifier_block *nb, unsigned long event,
			      void *message)
{
	stopwatch_start = ktime_get_mono_fast_ns();
	return NOTIFY_DONE;
}

static struct notifier_block stopwatch_notifier = {
	.notifier_call	= stopwatch_on_panic,
	.priority	= INT_MAX,
};

static void stopwatch_dump(struct kmsg_dumper *dumper,
			   enum kmsg_dump_reason reason)
{
	u64 end = ktime_get_mono_fast_ns();
	char text[40], *c;

	scnprintf(text, sizeof(text), "stopwatch %llu\n",
		  end - stopwatch_start);
	for (c = text; *c; c++)
		outb(*c, STOPWATCH_PORT);
}

static struct kmsg_dumper stopwatch_dumper = {
	.dump		= stopwatch_dump,
	.max_reason	= KMSG_DUMP_PANIC,
};

static int stopwatch_arm(const char *value, const struct kernel_param *param)
{
	return kmsg_dump_register(&stopwatch_dumper);
}

static const struct kernel_param_ops stopwatch_arm_ops = {
	.set = stopwatch_arm,
};
module_param_cb(arm, &stopwatch_arm_ops, NULL, 0200);
MODULE_PARM_DESC(arm, "Any value: measure behind all dumpers that there are by now");

static int __init stopwatch_init(void)
{
	return atomic_notifier_chain_register(&panic_notifier_list,
					      &stopwatch_notifier);
}
module_init(stopwatch_init);

/* Without an exit function the module stays. */
MODULE_DESCRIPTION("Measures a panic, for virtio-pstore's benchmarks");
MODULE_LICENSE("GPL");
