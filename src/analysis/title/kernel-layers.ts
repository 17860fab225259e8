import { Names } from "./names.js";

/** The beginning of every stack: the way in from user mode, from an interrupt, of a thread, of a CPU. */
export const ENTRY = new Names(
  `entry_* sysenter_* stub_* int_ret_from_sys_call do_syscall_* x64_sys_call ia32_sys_call do_fast_syscall_* __do_fast_syscall* do_int80* do_SYSENTER*`,
  `system_call_fastpath tracesys* cstar_* ret_fast_syscall __invoke_syscall invoke_syscall* el0_* el0t_* do_el0_* ret_to_user`,
  `ret_from_fork* kernel_thread_helper kthread kthread_should_stop worker_thread process_one_work process_scheduled_works`,
  `start_thread secondary_startup* start_secondary secondary_start_kernel cpu_startup_entry do_idle default_idle* arch_cpu_idle*`,
  `native_safe_halt kernel_init* do_one_initcall do_initcall* start_kernel x86_64_start* rest_init __primary_switched _stext`,
  `exit_to_user* syscall_exit* syscall_return_slowpath prepare_exit_to_usermode exit_to_usermode* do_notify_resume work_pending get_signal do_signal arch_do_signal*`,
  `task_work_run* ____fput __fput* fput* tracehook_notify*`,
  `__do_softirq ____do_softirq do_softirq* __softirqentry* handle_softirqs invoke_softirq irq_exit* __irq_exit* exiting_irq`,
  `run_ksoftirqd smpboot_thread_fn softirq_* call_softirq run_timer_softirq run_timer_base __run_timers* expire_timers`,
  `call_timer_fn* __run_timer* tasklet_action* net_rx_action *napi_poll* process_backlog rcu_core* rcu_process_callbacks*`,
  `hrtimer_* __hrtimer_* *apic_timer_interrupt* *sysvec_* __sysvec* asm_call_* common_interrupt asm_common_interrupt`,
  `ret_from_intr retint_* do_IRQ handle_irq* handle_domain_irq gic_* __handle_domain_irq call_on_irq* call_on_stack`,
  `do_interrupt_handler generic_handle_* arch_timer_handler_* handle_percpu_*`,
);

/** What finds that a CPU doesn't get on, running on it. */
export const WATCH = new Names(
  `*nmi_* qlist_* quarantine_* qlink_* rcu_* *synchronize_rcu* *print_*_stall* check_cpu_stall* *sched_show_task dump_cpu_task update_process_times tick_* watchdog_*`,
  `sched_tick scheduler_tick show_regs* arch_trigger* trigger_* *irq_work* show_state* flush_smp_call* irqentry_*`,
);

/** Layers that hand a request of user space, a fault or a packet on to the one that it is for. */
export const LAYER = new Names(
  `*sys_ioctl* *SyS_ioctl* do_vfs_ioctl vfs_ioctl ksys_* *sys_read* *SyS_read* *sys_write* *SyS_write* *sys_pread* *sys_pwrite*`,
  `*SyS_pread* *SyS_pwrite* do_readv* do_writev* do_iter_* vfs_* __vfs_* new_sync_* call_write_iter call_read_iter`,
  `do_loop_readv_writev __do_sys_* __se_sys_* __sys_* ___sys_* ____sys_* SYSC_* C_SYSC_*`,
  `*sys_send* *SyS_send* *sys_recv* *SyS_recv* *sys_setsockopt *SyS_setsockopt *sys_getsockopt *SyS_getsockopt *sys_connect`,
  `*SyS_connect *sys_bind *SyS_bind *sys_accept* *SyS_accept* do_recvmmsg do_sock_* sock_sendmsg* __sock_sendmsg sock_recvmsg*`,
  `sock_write_iter sock_read_iter sock_common_* sock_close __sock_release sock_release sock_ioctl sock_do_ioctl compat_sock_ioctl`,
  `blkdev_ioctl compat_blkdev_ioctl sendmsg_copy_* recvmsg_copy_* copy_msghdr* netlink_* __netlink_* nfnetlink_* genl_* rtnetlink_* inet_sendmsg inet6_sendmsg inet_recvmsg`,
  `*sys_open* *SyS_open* do_sys_open* do_filp_open path_openat do_dentry_open do_open* *sys_close *SyS_close *sys_mmap* *SyS_mmap*`,
  `vm_mmap* do_mmap* mmap_region __mmap_region call_mmap mmap_file *sys_munmap handle_mm_fault __handle_mm_fault`,
  `handle_pte_fault do_fault do_read_fault __do_fault do_shared_fault do_cow_fault do_pte_missing`,
  `do_exit do_group_exit exit_mm* mmput __mmput exit_mmap task_work* exit_files`,
  `*sys_execve* *SyS_execve* do_execve* exec_binprm bprm_execve search_binary_handler load_elf_* elf_map`,
  `put_files_struct close_files filp_close __netif_receive* netif_receive* *napi_* gro_*`,
);

/** The way into a page fault. */
export const FAULT = new Names(`*page_fault *do_mem_abort el1_abort`);
