// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: dies in a chosen way as it is loaded, with as much to say as is
 * asked for.
 */
#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/console.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/kmsg_dump.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/panic_notifier.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/tracepoint.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#ifdef CONFIG_X86_LOCAL_APIC
#include <asm/apic.h>
#include <asm/nmi.h>
#endif

static char *how = "oops";
module_param(how, charp, 0);
MODULE_PARM_DESC(how, "oops: a NULL pointer is written to, from a workqueue; warn: WARN(); "
		 "panic; irq: panic in hard interrupt context; nmi: in an NMI; "
		 "probe: panic where the function probe= is called next; "
		 "storm: panic while all CPUs print; "
		 "overtaken: panic, and another CPU's message is in the log before the panic's; "
		 "softlockup: never schedule again; hung: sleep uninterruptibly for ever; "
		 "stall: hold RCU up for some seconds, and go on; "
		 "spin: print a line, and then spin with interrupts off; "
		 "spin-off: likewise, but they are off before; "
		 "lines: only print");

static char *probe = "";
module_param(probe, charp, 0);
MODULE_PARM_DESC(probe, "Function that how=probe panics in; with +0xN behind it, N bytes into it");

static char *probe_when = "now";
module_param(probe_when, charp, 0);
MODULE_PARM_DESC(probe_when, "now: how=probe waits for the call; panic: it panics, and once more in the call; "
		 "later: as panic, but only once another's panic notifier prints; "
		 "irq: the call raises an interrupt that panics; "
		 "oops: it oopses, and panics in the call; "
		 "held: another CPU stays in the call for ever, and then it panics");

static bool hang;
module_param(hang, bool, 0);
MODULE_PARM_DESC(hang, "Do as for how=hung first");

static unsigned int lines;
module_param(lines, uint, 0);
MODULE_PARM_DESC(lines, "Numbered lines of 100 bytes to print first");

static unsigned int panic_lines;
module_param(panic_lines, uint, 0);
MODULE_PARM_DESC(panic_lines, "The same, from a panic notifier");

static unsigned int format;
module_param(format, uint, 0);
MODULE_PARM_DESC(format, "How often to measure formatting the log into memory first");

static char *sink = "";
module_param(sink, charp, 0);
MODULE_PARM_DESC(sink, "null: register a console whose write() does nothing; memory: one that copies to memory");

static int *crash_nowhere;

static void crash_line(unsigned int i)
{
	/* 100 bytes with the newline, all different and easy to check. */
	pr_info("crash-line %08u of the numbered text that has to arrive whole and in order ....................\n",
		i);
}

static void crash_lines(unsigned int count, const char *what)
{
	u64 start = ktime_get_mono_fast_ns();
	unsigned int i;

	for (i = 1; i <= count; i++) {
		crash_line(i);
		if (i % 1000 == 0)
			touch_nmi_watchdog();
	}
	if (count)
		pr_info("crash: %s: %u lines in %llu us\n", what, count,
			div_u64(ktime_get_mono_fast_ns() - start, 1000));
}

/*
 * The time from the last panic notifier but this one to kmsg_dump()'s end
 * would be too late for a driver that takes the log in the first notifier:
 * measure from a notifier before it, or from panic()'s call.
 */
static u64 crash_begin;
static bool crash_printing;

static int crash_on_panic(struct notifier_block *nb, unsigned long event,
			  void *message)
{
	WRITE_ONCE(crash_printing, true);
	crash_lines(panic_lines, "panic");
	return NOTIFY_DONE;
}

static struct notifier_block crash_notifier = {
	.notifier_call	= crash_on_panic,
	.priority	= 0,
};

static int crash_on_end(struct notifier_block *nb, unsigned long event,
			void *message)
{
	pr_emerg("crash: notifiers took %llu us since the call of panic()\n",
		 div_u64(ktime_get_mono_fast_ns() - crash_begin, 1000));
	return NOTIFY_DONE;
}

static struct notifier_block crash_last_notifier = {
	.notifier_call	= crash_on_end,
	.priority	= INT_MIN,
};

__printf(1, 2) static __noreturn void crash_panic(const char *format, ...)
{
	char text[80];
	va_list args;

	va_start(args, format);
	vscnprintf(text, sizeof(text), format, args);
	va_end(args);
	crash_begin = ktime_get_mono_fast_ns();
	panic("crash: %s", text);
}

/* A console that does nothing is the limit for one that does something. */
static char *crash_memory;
static size_t crash_memory_len;
#define CRASH_MEMORY	(16 << 20)

static void crash_console_write(struct console *con, const char *text,
				unsigned int len)
{
	if (!crash_memory || crash_memory_len + len > CRASH_MEMORY)
		return;
	memcpy(crash_memory + crash_memory_len, text, len);
	crash_memory_len += len;
}

static struct console crash_console = {
	.name	= "crash",
	.write	= crash_console_write,
	.flags	= CON_ENABLED | CON_ANYTIME,
	.index	= -1,
};

static void crash_write_null(struct work_struct *work)
{
	WRITE_ONCE(*READ_ONCE(crash_nowhere), 1);
}

static DECLARE_WORK(crash_work, crash_write_null);

static void crash_in_irq(struct irq_work *work)
{
	crash_panic("in interrupt context, hardirq %d", !!in_hardirq());
}

static struct irq_work crash_irq_work = IRQ_WORK_INIT_HARD(crash_in_irq);

#ifdef CONFIG_X86_LOCAL_APIC
static int crash_in_nmi(unsigned int type, struct pt_regs *regs)
{
	nmi_panic(regs, "crash: in NMI context");
	return NMI_HANDLED;
}

static int crash_nmi(void)
{
	int ret = register_nmi_handler(NMI_LOCAL, crash_in_nmi, 0, "crash");

	if (!ret) {
		crash_begin = ktime_get_mono_fast_ns();
		apic->send_IPI_mask(cpumask_of(raw_smp_processor_id()),
				    NMI_VECTOR);
	}
	return ret;
}
#else
static int crash_nmi(void)
{
	return -EOPNOTSUPP;
}
#endif

/*
 * Whatever the probed function's callers hold, they hold when it dies: so the
 * driver's queue lock is had by probing what it calls under it.
 */
static atomic_t crash_probed;
/* The CPU that the probe leaves alone, and which waits for another to hit it. */
static int crash_watcher = -1;

static int crash_probe_hit(struct kprobe *p, struct pt_regs *regs)
{
	bool hold = !strcmp(probe_when, "held");
	int watcher = READ_ONCE(crash_watcher);

	/* Who prints. */
	if (hold && (watcher < 0 || watcher == raw_smp_processor_id() ||
		     strncmp(current->comm, "crash/", 6)))
		return 0;
	if (!strcmp(probe_when, "later") && !READ_ONCE(crash_printing))
		return 0;
	if (atomic_xchg(&crash_probed, 1))
		return 0;
	if (!strcmp(probe_when, "irq")) {
		irq_work_queue(&crash_irq_work);
		return 0;
	}
	if (!hold)
		crash_panic("inside %s", probe);
	for (;;)
		cpu_relax();
	return 0;
}

static struct kprobe crash_kprobe = { .pre_handler = crash_probe_hit };

static int crash_print_for_ever(void *data)
{
	unsigned int i;

	for (i = 1;; i++) {
		pr_info("crash-storm cpu %u line %08u %s\n",
			raw_smp_processor_id(), i,
			"some text that makes the line as long as lines are");
		if (i % 64 == 0)
			cond_resched();
	}
	return 0;
}

/* All CPUs print from now on. */
static int crash_all_print(void)
{
	struct task_struct *task;
	unsigned int cpu;

	for_each_online_cpu(cpu) {
		task = kthread_create(crash_print_for_ever, NULL, "crash/%u",
				      cpu);
		if (IS_ERR(task))
			return PTR_ERR(task);
		kthread_bind(task, cpu);
		wake_up_process(task);
	}
	return 0;
}

static int crash_while_held(void)
{
	int ret = crash_all_print();

	if (ret)
		return ret;
	preempt_disable();
	WRITE_ONCE(crash_watcher, raw_smp_processor_id());
	while (!atomic_read(&crash_probed))
		cpu_relax();
	crash_panic("while another CPU is inside %s", probe);
}

static int crash_probe(void)
{
	char *offset = strchr(probe, '+');
	int ret;

	if (offset) {
		*offset++ = '\0';
		ret = kstrtouint(offset, 0, &crash_kprobe.offset);
		if (ret)
			return ret;
	}
	crash_kprobe.symbol_name = probe;
	ret = register_kprobe(&crash_kprobe);
	if (ret)
		return ret;
	if (!strcmp(probe_when, "panic") || !strcmp(probe_when, "later"))
		crash_panic("before %s", probe);
	if (!strcmp(probe_when, "oops"))
		schedule_work(&crash_work);
	if (!strcmp(probe_when, "held"))
		ret = crash_while_held();
	return ret;
}

static int crash_storm(void)
{
	int ret = crash_all_print();

	if (ret)
		return ret;
	msleep(300);
	crash_panic("in a storm");
}

#ifdef CONFIG_TRACEPOINTS
/*
 * A message that another CPU began before the panic gets its place behind the
 * panic's own, while that isn't in the log yet. What both have printed is then
 * as much as makes the driver take the log.
 */
static struct task_struct *crash_overtaker;
static atomic_t crash_overtaking;
enum { CRASH_FILLED = 1, CRASH_BEGUN, CRASH_RESERVED, CRASH_OVERTAKEN };

static void crash_overtaking_wait(int until)
{
	while (atomic_read(&crash_overtaking) < until)
		cpu_relax();
}

/* Other CPUs' messages are dropped once there is a panic, but not from here on. */
static int crash_overtaker_reserves(struct kprobe *p, struct pt_regs *regs)
{
	if (current != crash_overtaker ||
	    atomic_cmpxchg(&crash_overtaking, CRASH_FILLED, CRASH_BEGUN) !=
	    CRASH_FILLED)
		return 0;
	crash_overtaking_wait(CRASH_RESERVED);
	return 0;
}

static struct kprobe crash_overtaking_kprobe = {
	.symbol_name	= "prb_reserve",
	.pre_handler	= crash_overtaker_reserves,
};

/* Called for each message that has its place and isn't there yet. */
static void crash_on_message(void *data, const char *text, size_t len)
{
	if (strnstr(text, "not syncing", len) &&
	    atomic_cmpxchg(&crash_overtaking, CRASH_BEGUN, CRASH_RESERVED) ==
	    CRASH_BEGUN)
		crash_overtaking_wait(CRASH_OVERTAKEN);
}

static int crash_overtake(void *data)
{
	unsigned int i;

	/* 20 bytes less than the 24 KiB that the driver takes at once. */
	for (i = 1; i <= 255; i++)
		pr_info("crash-overtaking %08u %070u\n", i, 0);
	pr_info("crash-overtaking %08u %034u\n", i, 0);
	atomic_set(&crash_overtaking, CRASH_FILLED);
	pr_info("crash: overtakes\n");
	atomic_set(&crash_overtaking, CRASH_OVERTAKEN);
	for (;;)
		cpu_relax();
	return 0;
}

static void crash_find_console(struct tracepoint *tp, void *found)
{
	if (!strcmp(tp->name, "console"))
		*(struct tracepoint **)found = tp;
}

static int crash_overtaken(void)
{
	struct tracepoint *tp = NULL;
	int ret;

	for_each_kernel_tracepoint(crash_find_console, &tp);
	ret = register_kprobe(&crash_overtaking_kprobe);
	if (ret)
		return ret;
	/* Before the driver's. */
	ret = tracepoint_probe_register_prio(tp, crash_on_message, NULL,
					     TRACEPOINT_DEFAULT_PRIO + 1);
	if (ret)
		return ret;
	crash_overtaker = kthread_create(crash_overtake, NULL, "crash");
	if (IS_ERR(crash_overtaker))
		return PTR_ERR(crash_overtaker);
	/* What was printed before is taken by then. */
	msleep(500);
	preempt_disable();
	kthread_bind(crash_overtaker,
		     cpumask_any_but(cpu_online_mask, smp_processor_id()));
	wake_up_process(crash_overtaker);
	crash_overtaking_wait(CRASH_BEGUN);
	crash_panic("overtaken");
}

#else
static int crash_overtaken(void)
{
	return -EOPNOTSUPP;
}
#endif

static int crash_lock_up(void *data)
{
	preempt_disable();
	for (;;)
		cpu_relax();
	return 0;
}

static int crash_hang(void *data)
{
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule();
	}
	return 0;
}

static void crash_rcu_done(struct rcu_head *head)
{
}

/* Somebody waits, or it is no stall. Twice what the guest takes for one. */
static noinline void crash_stall(void)
{
	u64 end = ktime_get_mono_fast_ns() + 6ULL * NSEC_PER_SEC;
	static struct rcu_head waiting;

	call_rcu(&waiting, crash_rcu_done);
	rcu_read_lock();
	while (ktime_get_mono_fast_ns() < end)
		cpu_relax();
	rcu_read_unlock();
}

/* After a while of silence, as the last words of a CPU that hangs come. */
static void crash_spin(bool off)
{
	msleep(500);
	if (off)
		local_irq_disable();
	pr_info("crash: spins\n");
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static int crash_thread(int (*run)(void *data))
{
	return PTR_ERR_OR_ZERO(kthread_run(run, NULL, "crash"));
}

static int crash_oops(void *data)
{
	crash_write_null(NULL);
	return 0;
}

static int crash_again(const char *value, const struct kernel_param *kp)
{
	return crash_thread(crash_oops);
}

static const struct kernel_param_ops crash_again_ops = {
	.set	= crash_again,
};
module_param_cb(again, &crash_again_ops, NULL, 0200);
MODULE_PARM_DESC(again, "Written to: a NULL pointer is written to, from a thread, each time");

/* The whole log formatted once into memory: no dump can take less. */
static void crash_format(void)
{
	struct kmsg_dump_iter iter;
	size_t len, done = 0;
	unsigned int count = 0;
	u64 start;
	char *buf;

	buf = vzalloc(CRASH_MEMORY);
	if (!buf)
		return;
	start = ktime_get_mono_fast_ns();
	kmsg_dump_rewind(&iter);
	while (done + 4096 < CRASH_MEMORY &&
	       kmsg_dump_get_line(&iter, true, buf + done, 4096, &len)) {
		done += len;
		count++;
	}
	pr_info("crash: formatting %u lines, %zu bytes took %llu us\n", count,
		done, div_u64(ktime_get_mono_fast_ns() - start, 1000));
	vfree(buf);
}

static int __init crash_init(void)
{
	if (*sink) {
		if (!strcmp(sink, "memory"))
			crash_memory = vzalloc(CRASH_MEMORY);
		register_console(&crash_console);
	}
	atomic_notifier_chain_register(&panic_notifier_list, &crash_notifier);
	atomic_notifier_chain_register(&panic_notifier_list,
				       &crash_last_notifier);
	crash_lines(lines, "running");
	while (format--)
		crash_format();

	if (hang)
		crash_thread(crash_hang);
	if (!strcmp(how, "oops"))
		schedule_work(&crash_work);
	else if (!strcmp(how, "warn"))
		WARN(1, "crash: a warning\n");
	else if (!strcmp(how, "panic"))
		crash_panic("asked for");
	else if (!strcmp(how, "irq"))
		irq_work_queue(&crash_irq_work);
	else if (!strcmp(how, "nmi"))
		return crash_nmi();
	else if (!strcmp(how, "probe"))
		return crash_probe();
	else if (!strcmp(how, "storm"))
		return crash_storm();
	else if (!strcmp(how, "overtaken"))
		return crash_overtaken();
	else if (!strcmp(how, "softlockup"))
		return crash_thread(crash_lock_up);
	else if (!strcmp(how, "hung"))
		return crash_thread(crash_hang);
	else if (!strcmp(how, "stall"))
		crash_stall();
	else if (!strcmp(how, "spin"))
		crash_spin(false);
	else if (!strcmp(how, "spin-off"))
		crash_spin(true);
	else if (strcmp(how, "lines"))
		return -EINVAL;
	return 0;
}
module_init(crash_init);

/* Without an exit function the module stays, as its work may. */
MODULE_DESCRIPTION("Crashes on request, for virtio-pstore's tests");
MODULE_LICENSE("GPL");
