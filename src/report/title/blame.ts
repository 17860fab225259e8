import { functionName } from "./frames.js";
import type { Report, Stack } from "./report.js";

/** A pattern of functions' names: exact ones, or beginnings that end in `*`. */
export function named(...words: readonly string[]): RegExp {
  const patterns = words
    .flatMap((word) => word.split(/\s+/))
    .filter((word) => word !== "")
    .map((word) => word.replaceAll(".", "\\.").replaceAll("*", ".*"));
  return new RegExp(`^(?:${patterns.join("|")})$`);
}

/**
 * Functions that a report passes through, or that only do what they are told: the one that called
 * them with something wrong is to blame.
 */
const INNOCENT = named(
  // What prints the report.
  `dump_stack* show_stack* dump_backtrace* show_trace* print_* panic panic_* nmi_panic vpanic __warn* warn_slowpath*
   report_bug* fixup_bug* handle_bug* bug_handler call_break_hook* kasan_* __kasan_* __asan_* __hwasan_* asan_*
   check_memory_region* end_report object_err kmsan_* __kmsan_* __msan_* kcsan_* __kcsan_* __tsan_* tsan_* kfence_*
   __kfence_* ubsan_* __ubsan_* handle_overflow val_to_string rust_* core::* *core::* free_page_is_bad* dump_page* bad_page* free_pages_check_bad fail_dump
   should_fail* __should_fail* __report_bug __fortify_report fortify_panic __fortify_panic`,
  // The way from an exception to there.
  `do_error_trap* __stack_chk_fail do_invalid_op invalid_op exc_* asm_exc_* do_trap* die* __die* oops_end page_fault no_context
   page_fault_oops kernelmode_fixup* __bad_area* bad_area* __do_page_fault do_page_fault do_user_addr_fault do_kern_addr_fault
   handle_page_fault async_page_fault error_entry do_mem_abort do_sp_pc_abort do_translation_fault do_tag_check_fault
   __do_kernel_fault die_kernel_fault do_alignment_fault el1_* el1h_* brk_handler do_debug_exception do_el1_* el1_dbg
   el1_sync* early_brk64 general_protection do_general_protection spurious_kernel* fixup_exception vc_handle* trap* do_int3`,
  // Locks and counters.
  `lockdep_* lock_acquire* lock_release* __lock_* lock_downgrade lock_is_held* register_lock_class look_up_lock_class assign_lock_key
   mark_lock* mark_held* mark_usage validate_chain check_prev* check_noncircular hlock_class valid_state check_wait_context
   _raw_* __raw_spin* __raw_read* __raw_write* do_raw_* queued_spin* queued_read* queued_write* native_queued_* pv_queued_* spin_lock* spin_unlock*
   read_lock* read_unlock* write_lock* write_unlock* mutex_* __mutex_* mutex_trylock* ww_mutex* down_* __down_* down up_* up __up_* rwsem_* rt_mutex_* __rt_mutex*
   percpu_down* percpu_up* percpu_rwsem* refcount_* __refcount_* atomic_* atomic64_* arch_atomic* raw_atomic* instrument_* kref_* debug_* __debug_* rcu_read_* __rcu_read*
   __x86_indirect_thunk_* call_timer_fn* perf_trace_lock* trace_hardirqs_* trace_softirqs_* console_lock lock_sock* warn_bogus_irq* ref_tracker_* _atomic_* __local_bh_* __sanitizer_* seqcount_* do_write_seqcount* rcu_lock_*`,
  // Allocators.
  `kfree* kvfree* vfree* __vfree kmalloc* __kmalloc* __do_kmalloc* kzalloc* kcalloc* krealloc* __krealloc kmem_cache_* __kmem_cache_* kmemdup* kstrdup* kvmalloc* __kvmalloc* vmalloc* __vmalloc* vzalloc*
   ___kmalloc* alloc_page_* __set_page_owner set_page_owner __check_object_size check_heap_object slab_* __slab_* ___slab_* cache_alloc* __cache_alloc* __cache_free* cache_free* ___cache_free free_debug_processing setup_object* slab_post_alloc_hook qlist_* quarantine_* deactivate_slab flush_cpu_slab
   alloc_debug_processing __alloc_pages* alloc_pages* __alloc_frozen_pages* get_page_from_freelist prep_new_page post_alloc_hook warn_alloc kmemleak_* create_object
   save_stack* stack_trace_save* set_track* stack_depot_* __alloc_percpu* pcpu_alloc* __page_frag* free_pages* __free_pages* free_unref* __get_free_pages`,
  // Strings, lists, trees and bits.
  `memcpy* __memcpy* memset* __memset* memmove* __memmove* memcmp* memchr* memscan __pi_* strlen strnlen* strcmp strncmp strcpy strncpy strlcpy strscpy* sized_strscpy strcat strlcat strchr strstr strnstr strcasecmp strncasecmp string string_* vsnprintf vscnprintf vsprintf scnprintf printk _printk vprintk* console_unlock sprintf snprintf
   hex_dump_to_buffer format_decode bcmp __fortify* read_word_at_a_time crc* __crc* copy_from_user* copy_to_user* _copy_* __copy_* raw_copy_* copy_user_* copy_page_to_iter* copy_page_from_iter* copyout copyin csum_*
   list_* __list_* hlist_* __hlist_* rb_* __rb_* xas_* xa_* __xa_* radix_tree_* __radix_tree* idr_* __idr_* ida_* rhashtable_* __rhashtable_* find_next_* find_first_* _find_*  test_bit* set_bit* clear_bit* test_and_* bit_* bitmap_* __bitmap*
   __read_once* __write_once* find_lock_entries truncate_inode_pages* drop_nlink mark_buffer_dirty aes_* skb_panic skb_over_panic skb_under_panic skb_put skb_push __skb_put __skb_push rollback_registered* unregister_netdevice* logic_in* logic_out* get_unaligned* __get_user* __put_user*`,
  // The device model and the cores of buses.
  `kobject_* kset_* sysfs_* kernfs_* __kernfs_* dpm_* get_device_parent device_* devres_* get_device put_device add_uevent_var internal_create_group* usb_submit_urb usb_kill_* usb_start_wait_urb usb_*_msg bus_* driver_* __device_* klist_*`,
  // Timers, work and waiting.
  `call_rcu* __call_rcu* kvfree_call_rcu timer_* __timer_* del_timer* mod_timer* __mod_timer add_timer* try_to_del_timer* flush_work __flush_work* flush_workqueue* __flush_workqueue drain_workqueue destroy_workqueue start_flush_work cancel_work* cancel_delayed* __cancel_work* queue_work* __queue_work queue_delayed*
   __wake_up* wake_up* complete complete_all swake_up* add_wait_queue prepare_to_wait* finish_wait
   __down try_to_grab_pending init_timer_key do_init_timer ___might_sleep* __might_sleep* __might_resched* might_sleep* __might_fault* might_fault* __cant_sleep* __schedule_bug __schedule schedule schedule_* context_switch __switch_to io_schedule* wait_on_* __wait_* wait_for_* do_wait_for_* out_of_line_wait* bit_wait* preempt_schedule* _cond_resched* __cond_resched* cond_resched* check_preemption_disabled smp_processor_id* debug_smp_processor_id __this_cpu_preempt_check`,
);

/** The way from user mode, a thread's or an interrupt's beginning to where something has a subject. */
const ENTRY = named(
  `entry_* do_syscall_* x64_sys_call ia32_sys_call do_fast_syscall_* __do_fast_syscall* do_int80* __do_compat_sys* do_SYSENTER* do_syscall_x64 do_syscall_32* __invoke_syscall invoke_syscall* el0_* el0t_* do_el0_* ret_fast_syscall ret_from_fork* kernel_thread_helper kthread
   worker_thread process_one_work process_scheduled_works start_thread secondary_startup* start_secondary cpu_startup_entry do_idle default_idle* arch_cpu_idle* native_safe_halt start_kernel x86_64_start* rest_init __primary_switched secondary_start_kernel
   exit_to_user* syscall_exit* syscall_return_slowpath prepare_exit_to_usermode task_work_run* ____fput __fput* fput* tracehook_notify* ret_to_user work_pending do_notify_resume system_call_fastpath tracesys*
   __do_softirq do_softirq* __softirqentry* handle_softirqs invoke_softirq irq_exit* __irq_exit* run_ksoftirqd smpboot_thread_fn softirq_* call_softirq run_timer_softirq run_timer_base __run_timers* expire_timers call_timer_fn* __run_timer* tasklet_action* net_rx_action __napi_poll* napi_poll process_backlog
   *apic_timer_interrupt* kthread_should_stop *sysvec_apic_timer* __sysvec* sysvec_* asm_sysvec* asm_call_* common_interrupt asm_common_interrupt ret_from_intr do_IRQ handle_irq* gic_* __handle_domain_irq call_on_irq* call_on_stack hrtimer_* __hrtimer_* rcu_core* rcu_process_callbacks* local_apic_timer*`,
);

/** System calls and the layers under them that do nothing of their own. */
const LAYER = named(
  `*[sS][yY][sS]_ioctl* do_vfs_ioctl vfs_ioctl ksys_ioctl __do_sys_ioctl* compat_ksys_ioctl *[sS][yY][sS]_read* *[sS][yY][sS]_write* *[sS][yY][sS]_pread* *[sS][yY][sS]_pwrite* do_readv* do_writev* do_iter_* vfs_* ksys_* __vfs_* new_sync_* call_write_iter call_read_iter do_loop_readv_writev
   *[sS][yY][sS]_send* *[sS][yY][sS]_recv* *[sS][yY][sS]_setsockopt *[sS][yY][sS]_getsockopt *[sS][yY][sS]_connect *[sS][yY][sS]_bind *[sS][yY][sS]_accept* *[sS][yY][sS]_listen do_recvmmsg __netlink_* *___sys_* __sys_* SYSC_* do_sock_* sock_sendmsg* __sock_sendmsg sock_recvmsg* sock_write_iter sock_read_iter sock_common_* sock_close __sock_release sock_release sock_ioctl sock_do_ioctl
   netlink_* nfnetlink_* genl_* rtnetlink_* inet_sendmsg inet6_sendmsg inet_recvmsg
   *[sS][yY][sS]_open* do_sys_open* do_filp_open path_openat do_dentry_open do_open* vfs_open *[sS][yY][sS]_close *[sS][yY][sS]_mmap* vm_mmap* do_mmap* mmap_region ksys_mmap* __mmap_region call_mmap mmap_file *[sS][yY][sS]_munmap
   handle_mm_fault __handle_mm_fault handle_pte_fault do_fault do_read_fault __do_fault do_shared_fault do_cow_fault do_pte_missing
   do_exit do_group_exit get_signal do_signal arch_do_signal* exit_mm* mmput __mmput exit_mmap task_work* exit_files put_files_struct close_files filp_close
   __netif_receive* netif_receive* *napi* gro_* process_backlog __local_bh_enable* local_bh_enable* do_softirq* __do_softirq softirq*`,
);

/** What finds a stall, on the stack of the CPU that it finds stalled. */
const WATCH = named(
  `*nmi_* rcu_* *print_*_stall* check_cpu_stall* *sched_show_task dump_cpu_task update_process_times tick_* watchdog_* sched_tick scheduler_tick show_regs* arch_trigger* trigger_* *irq_work* __sanitizer_cov_* show_state* flush_smp_call* *retint* irqentry_* preempt_schedule* el1_irq* gic_* handle_percpu*`,
);

/** A system call's function under the name that all kernels and architectures share. */
function shared(name: string): string {
  const implementation = /^(?:__do_(?:compat_)?sys_|(?:C_)?SYSC_)(.+)/.exec(name)?.[1];
  if (implementation !== undefined) return implementation;
  return name
    .replace(
      /^(?:__(?:x64|ia32|arm64|se)_(?:compat_)?sys_|__ia32_compat_sys_|(?:compat_)?SyS_)/,
      "sys_",
    )
    .replace(/^synchronize_(?:rcu|sched|srcu)\w*/, "synchronize_rcu");
}

const callers = (stack: Stack): string[] =>
  stack.frames.filter(({ certain }) => certain).map(({ name }) => name);

/** `(&lock){+.+.}, at: [<address>] foo+0x1/0x2`: the first is the lock that was asked for. */
const ASKED = /, at: (?:\[<[0-9a-f]+>\] )?([\w.$]{1,200})(?:\+0x| )/;

const asked = ({ lines }: Report): string[] =>
  lines
    .flatMap((line) => ASKED.exec(line)?.[1] ?? [])
    .map(functionName)
    .slice(0, 2);

/** The function that a report blames; undefined where it shows none that could be. */
export function blamed(report: Report): string | undefined {
  const { rule, match, ip, astray, stacks } = report;
  const passed = (name: string) =>
    (INNOCENT.test(name) && rule.unless?.test(name) !== true) || rule.skip?.test(name) === true;
  if (rule.blame === "outer") return outermost(report, passed);
  const site = match.groups?.site;
  const own =
    rule.blame === "site"
      ? [site && functionName(site), ip]
      : rule.blame === "lock"
        ? asked(report)
        : [];
  for (const names of [own, ...stacks.filter(({ aside }) => !aside).map(callers)]) {
    const found = names.find((name) => name !== undefined && (astray || !passed(name)));
    if (found !== undefined) return shared(found);
  }
  return undefined;
}

function outermost(report: Report, passed: (name: string) => boolean): string | undefined {
  const { ip, stacks } = report;
  const ways: string[][] = [];
  for (const stack of stacks) {
    if (stack.aside) continue;
    const names = callers(stack);
    ways.push(callers({ ...stack, frames: stack.frames.slice(0, stack.interrupt) }), names);
  }
  for (const test of [
    (name: string) => !ENTRY.test(name) && !LAYER.test(name) && !passed(name) && !WATCH.test(name),
    (name: string) => !ENTRY.test(name) && !passed(name) && !WATCH.test(name),
  ]) {
    for (const names of ways) {
      const cross = names.slice(0, 8).find((name) => /^smp_call_function/.test(name));
      if (cross !== undefined) return "smp_call_function";
      const found = names.findLast(test);
      if (found !== undefined) return shared(found);
    }
  }
  return ip === undefined || passed(ip) ? undefined : shared(ip);
}
