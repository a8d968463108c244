/* PVH entry: 32-bit protected mode, paging off, %ebx = physical address of hvm_start_info.
 * Ends in `kernel_main(start_info)` in long mode with SSE on and the first 4 GiB identity
 * mapped by 2 MiB pages. AT&T syntax. */

    .section .note.Xen, "a", @note
    .p2align 2
    .long 4                     /* name size */
    .long 8                     /* descriptor size: QEMU reads 8 bytes for an ELF64 image */
    .long 18                    /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad pvh_start

    .section .text.boot, "ax", @progbits
    .code32
    .globl pvh_start
pvh_start:
    cli
    cld
    movl $boot_stack_top, %esp
    movl %ebx, %edi             /* first argument of kernel_main, kept throughout */

    movl $boot_pdpt + 3, boot_pml4
    movl $boot_pd + 3, %eax     /* four PDPT entries -> four page directories */
    movl $boot_pdpt, %edx
    movl $4, %ecx
1:  movl %eax, (%edx)
    addl $4096, %eax
    addl $8, %edx
    loop 1b

    movl $0x83, %eax            /* present | writable | 2 MiB page */
    movl $boot_pd, %edx
    movl $2048, %ecx
2:  movl %eax, (%edx)
    addl $0x200000, %eax
    addl $8, %edx
    loop 2b

    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x620, %eax            /* PAE | OSFXSR | OSXMMEXCPT */
    movl %eax, %cr4
    movl $0xc0000080, %ecx      /* EFER */
    rdmsr
    orl $0x900, %eax            /* LME | NXE */
    wrmsr
    movl %cr0, %eax
    andl $0xfffffff3, %eax      /* clear EM and TS */
    orl $0x80010023, %eax       /* PG | WP | NE | MP | PE */
    movl %eax, %cr0
    lgdt boot_gdtr
    ljmpl $0x08, $long_mode

    .code64
long_mode:
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %eax, %fs
    movl %eax, %gs
    movl $boot_stack_top, %esp
    xorl %ebp, %ebp
    movl %edi, %edi
    call kernel_main
3:  hlt
    jmp 3b

    .section .rodata.boot, "a", @progbits
    .p2align 3
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff    /* 64-bit code */
    .quad 0x00cf92000000ffff    /* data */
boot_gdtr:
    .word boot_gdtr - boot_gdt - 1
    .long boot_gdt

    .section .bss.boot, "aw", @nobits
    .p2align 12
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4 * 4096
    /* The final page tables leave the guard out: running off the stack faults. */
    .globl boot_stack_guard, boot_stack_bottom, boot_stack_top
boot_stack_guard:  .skip 4096
boot_stack_bottom: .skip 256 * 1024
boot_stack_top:
