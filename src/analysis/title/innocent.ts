import { Names } from "./names.js";

/** What prints a report, and the way from where something was noticed to there. */
export const REPORTING = new Names(
  `dump_stack* __dump_stack show_stack* dump_backtrace* show_trace* show_regs* print_* panic __panic panic_* nmi_panic assertfail assfail *_panic __phys_addr* __virt_to_phys* vpanic check_panic_on_warn add_taint`,
  `__warn* warn_slowpath* report_bug* __report_bug fixup_bug* handle_bug* bug_handler call_break_hook* brk_handler`,
  `kasan_* __kasan_* __asan_* asan_* __hwasan_* hwasan_* check_memory_region* end_report object_err kmsan_* __kmsan_*`,
  `__msan_* kcsan_* __kcsan_* __tsan_* tsan_* kfence_* __kfence_* ubsan_* __ubsan_* handle_overflow val_to_string`,
  `dump_page* bad_page* free_page_is_bad* free_pages_check_bad fail_dump should_fail* __should_fail* rust_* __rustc::* core::* <core::* <&core::*`,
  `*cfi_check* __cfi_slowpath* handle_cfi_failure report_cfi_failure *fortify_report fortify_panic __fortify_panic __stack_chk_fail refcount_warn* warn_bogus_irq* warn_alloc* __sanitizer_*`,
  `__schedule_bug stack_trace_* save_stack* set_track* stack_depot_* arch_stack_walk walk_stackframe`,
  // Exceptions of x86.
  `do_error_trap* do_invalid_op invalid_op exc_* asm_exc_* do_trap* die* __die* oops_end page_fault no_context`,
  `page_fault_oops kernelmode_fixup* __bad_area* bad_area* do_bad_area __do_page_fault do_page_fault do_user_addr_fault`,
  `do_kern_addr_fault handle_page_fault async_page_fault error_entry general_protection do_general_protection`,
  `fixup_exception vc_handle* do_int3 __x86_indirect_thunk_* __x86_return_thunk trap_* double_fault do_double_fault`,
  // Interrupts of x86, where it is seen that the stack ran over.
  `stack_overflow_check handle_irq do_IRQ common_interrupt`,
  // Exceptions of arm64.
  `do_mem_abort do_sp_pc_abort do_translation_fault do_tag_check_fault __do_kernel_fault die_kernel_fault`,
  `do_alignment_fault do_debug_exception do_el1_* el1_* el1h_* el1t_* early_brk64 bug_brk_handler df_debug do_serror`,
  // Of arm, powerpc, riscv and s390.
  `unwind_backtrace __dabt_svc __pabt_svc __und_svc do_DataAbort do_PrefetchAbort do_undefinstr arm_notify_die do_bad`,
  `_exception* bad_page_fault __bad_page_fault do_bad_page_fault* program_check_* data_access_* instruction_access_*`,
  `handle_exception ret_from_exception *pgm_check* do_report_trap illegal_op do_dat_exception do_protection_exception`,
  // Of user-mode-linux.
  `segv segv_handler sig_handler sig_handler_common hard_handler relay_signal bus_handler unblock_signals*`,
);

/** Locks, counters and bits: the one that used them wrongly, or on what isn't there, is to blame. */
const LOCKS = new Names(
  `lockdep_* lock_acquire* lock_release* __lock_* lock_downgrade lock_is_held* register_lock_class look_up_lock_class`,
  `assign_lock_key mark_lock* mark_held* mark_usage validate_chain check_prev* check_noncircular check_wait_context`,
  `hlock_class valid_state _raw_* __raw_spin* __raw_read* __raw_write* do_raw_* queued_* native_queued_* pv_queued_*`,
  `spin_* read_lock* read_unlock* write_lock* write_unlock* mutex_* __mutex_* ww_mutex* down down_* __down* up up_* __up_*`,
  `rwsem_* rt_mutex_* __rt_mutex* rtmutex_* percpu_down* percpu_up* percpu_rwsem* percpu_ref_* osq_* lockref_* seqcount_*`,
  `do_write_seqcount* read_seqbegin* read_seqretry* lock_sock* console_lock console_trylock lock_timer_base`,
  `perf_trace_init perf_trace_destroy release_sock task_blocks_on_rt_mutex raw_spin_rq_* tty_ldisc_lock* call_rwsem_* preempt_count_* lock_page __lock_page folio_lock folio_unlock __folio_lock* unlock_page folio_wait_* wait_on_page*`,
  `reacquire_held_locks ldsem_* __ldsem_* __task_rq_lock reiserfs_write_lock* reiserfs_write_unlock* fs_reclaim_release`,
  `refcount_* __refcount_* atomic_* atomic64_* atomic_long_* _atomic_* arch_atomic* raw_atomic* instrument_* kref_*`,
  `rcu_read_* __rcu_read* rcu_lock_* srcu_read_* __srcu_read* rcu_dereference* static_key_* __static_key* jump_label_*`,
  `trace_hardirqs_* trace_softirqs_* arch_local_irq* local_irq_* native_save_fl __local_bh_* local_bh_* perf_trace_lock*`,
  `trace_lock_* trace_contention_* test_bit* set_bit* clear_bit* change_bit* test_and_* arch_test_bit arch_set_bit arch_clear_bit`,
  `variable_test_bit constant_test_bit __read_once* __write_once* ref_tracker_*`,
);

/** What gives and takes memory. */
const ALLOCATORS = new Names(
  `kfree* __kfree kvfree* vfree* __vfree kmalloc* __kmalloc* __do_kmalloc* ___kmalloc* kzalloc* kcalloc* krealloc* __krealloc`,
  `kmem_cache_* __kmem_cache_* kmemdup* kstrdup* kvmalloc* __kvmalloc* vmalloc* __vmalloc* vzalloc* __vunmap vunmap remove_vm_area page_pool_* __page_pool_* slab_* __slab_* ___slab_*`,
  `cache_alloc* __cache_alloc* __cache_free* cache_free* ___cache_free cache_grow* free_debug_processing setup_object*`,
  `do_slab_free deactivate_slab flush_cpu_slab put_cpu_partial alloc_debug_processing`,
  `new_slab* allocate_slab alloc_slab_page __alloc_pages* alloc_pages* alloc_page_* __alloc_frozen_pages*`,
  `alloc_frozen_pages* get_page_from_freelist prep_new_page post_alloc_hook folio_alloc* filemap_alloc_folio* __filemap_get_folio pagecache_get_page __folio_put folio_put* put_page __put_page __put_single_page release_pages kmemleak_* create_object`,
  `__set_page_owner set_page_owner __alloc_percpu* pcpu_* __page_frag* page_frag_* free_pages* __free_pages* free_unref*`,
  `__get_free_pages get_zeroed_page free_large_kmalloc memdup_user* vmemdup_user strndup_user devm_k*`,
  `__check_object_size check_heap_object __check_heap_object usercopy_*`,
);

/** Strings, copies, checksums, ciphers and containers: they touch what they are given. */
const TOOLS = new Names(
  `memcpy* __memcpy* memset* __memset* memmove* __memmove* memcmp* memchr* memscan __pi_* bcmp strlen strnlen* strcmp strncmp`,
  `strcpy strncpy* strlcpy strscpy* sized_strscpy strcat strncat strlcat strchr* strrchr strnchr strstr strnstr strcase*`,
  `strncasecmp strspn strcspn strpbrk strsep strim skip_spaces kstrto* simple_str* sscanf vsscanf match_*`,
  `string string_* vsnprintf vscnprintf vsprintf snprintf scnprintf sprintf format_decode pointer number put_dec*`,
  `va_format widen_string hex_dump_to_buffer print_hex_dump* hex_string seq_printf seq_vprintf seq_puts seq_put_*`,
  `printk* _printk __printk_safe* vprintk* console_unlock console_flush* console_emit* __dev_printk _dev_* dev_vprintk* dev_printk*`,
  `read_word_at_a_time crc* __crc* csum_* do_csum jhash* __jhash* siphash* __siphash* xxh* sha1_* sha256_* aes_* aesti_*`,
  `_compound_head compound_head drbg_* crypto_* cipher_* xts_* ecb_* cbc_* ctr_* chacha* poly1305* *copy_from_user* *copy_to_user* _copy_* __copy_* raw_copy_* copy_user_*`,
  `copy_page_to_iter* copy_page_from_iter* copy_from_iter* copy_to_iter* simple_copy_to_iter copyout copyin __get_user* __put_user*`,
  `_inline_copy_* get_unaligned* put_unaligned* __get_unaligned* list_* __list_* hlist_* __hlist_* llist_* plist_* rb_* __rb_*`,
  `xas_* xa_* __xa_* radix_tree_* __radix_tree* idr_* __idr_* ida_* rhashtable_* __rhashtable_* rht_* assoc_array_*`,
  `find_next_* find_first_* find_last_* _find_* bit_* bitmap_* __bitmap* sort sort_r bsearch inb inw inl outb outw outl logic_*`,
  `ioread* iowrite* readb readw readl readq writeb writew writel writeq __raw_readl __raw_writel`,
);

/** Timers, work and waiting. */
export const WAITING = new Names(
  `call_rcu* __call_rcu* kvfree_call_rcu cleanup_srcu* timer_* __timer_* del_timer* mod_timer* __mod_timer* add_timer*`,
  `try_to_del_timer* __try_to_del_timer* call_timer_fn* init_timer_key do_init_timer debug_* __debug_* hrtimer_* __hrtimer_*`,
  `flush_work* __flush_work* flush_delayed_work flush_scheduled_work __flush_workqueue start_flush_work drain_workqueue`,
  `destroy_workqueue cancel_work* cancel_delayed* work_is_static_object __cancel_work* __cancel_delayed* try_to_grab_pending check_flush_dependency`,
  `queue_work* __queue_work queue_delayed* __queue_delayed* mod_delayed_work* schedule_work* insert_work __init_work`,
  `__wake_up* wake_up wake_up_process wake_up_state wake_up_q wake_up_bit wake_up_var try_to_wake_up complete complete_all complete_with_flags swake_up* add_wait_queue* prepare_to_wait*`,
  `finish_wait init_wait* filemap_fdatawait* fdatawait_one_bdev sk_stop_timer* __filemap_fdatawait* do_read_cache_folio wait_woken wait_on_* __wait_* wait_for_* do_wait_for_* do_wait_intr* out_of_line_wait* bit_wait*`,
  `___might_sleep* __might_sleep* __might_resched* might_sleep* __might_fault* might_fault* __cant_sleep* might_alloc`,
  `__schedule schedule schedule_timeout* schedule_preempt* schedule_hrtimeout* schedule_idle* schedule_delayed* context_switch __switch_to io_schedule* preempt_schedule* _cond_resched* __cond_resched*`,
  `cond_resched* check_preemption_disabled smp_processor_id* debug_smp_processor_id __this_cpu_preempt_check`,
  `kthread_stop kthread_park kthread_flush* kthread_queue*`,
);

/** The device model, cores of buses, and what drops references. */
const CORES = new Names(
  `kobject_* __kobject_* kset_* sysfs_* kernfs_remove* kernfs_put kernfs_get kernfs_find* kernfs_create* __kernfs_create* kernfs_new_node __kernfs_new_node kernfs_add_one device_remove_file device_create_file device_add device_del device_register device_unregister device_create* device_destroy device_initialize device_for_each_child device_release* __device_release* devres_* dpm_* get_device put_device get_device_parent`,
  `bus_* driver_* klist_* i2c_del_adapter __unregister_client add_uevent_var internal_create_group* usb_submit_urb usb_kill_* usb_poison_*`,
  `usb_start_wait_urb usb_*_msg usb_free_urb find_lock_entries truncate_inode_pages* drop_nlink mark_buffer_dirty iput`,
  `skb_panic skb_over_panic skb_under_panic skb_put skb_push skb_pull dput fast_dput __skb_put __skb_push`,
  `rollback_registered* unregister_netdev unregister_netdevice* hwrng_unregister tty_unregister_device`,
);

/**
 * Functions that a report passes through, or that only do what they are told: the one that called them
 * with something wrong is to blame.
 */
export const INNOCENT: readonly Names[] = [REPORTING, LOCKS, ALLOCATORS, TOOLS, WAITING, CORES];

/** The same for where a CPU or task was when it was found not to get on: any function may be that. */
export const INNOCENT_OF_STALLS: readonly Names[] = [REPORTING, LOCKS, ALLOCATORS, TOOLS, WAITING];
