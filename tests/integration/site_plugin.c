/* A module that is loaded and unloaded while it allocates: plugin_allocate(size) is malloc(size)
 * with a frame of FRAME bytes. */
#define TEXT(x)  #x
#define VALUE(x) TEXT(x)

__asm__(".text\n"
	".globl plugin_allocate\n"
	".type plugin_allocate, @function\n"
	"plugin_allocate:\n"
	".cfi_startproc\n"
	"	sub $" VALUE(
		FRAME) ", %rsp\n"
		       ".cfi_adjust_cfa_offset " VALUE(
			       FRAME) "\n"
				      "	call malloc@PLT\n"
				      "	add $" VALUE(FRAME) ", %rsp\n"
							    ".cfi_adjust_cfa_offset -" VALUE(
								    FRAME) "\n"
									   "	ret\n"
									   ".cfi_endproc\n"
									   ".size plugin_allocate, "
									   ".-plugin_allocate\n"
									   ".section "
									   ".note.GNU-stack,\"\",@"
									   "progbits\n");
