#include "textflag.h"

// FIND writes a bit for each of the 64 bytes in Y0 and Y1 that equals those in Y4, Y5 or Y6.
#define FIND(what, at) \
	VPCMPEQB  what, Y0, Y2 \
	VPCMPEQB  what, Y1, Y3 \
	VPMOVMSKB Y2, AX       \
	VPMOVMSKB Y3, BX       \
	SHLQ      $32, BX      \
	ORQ       BX, AX       \
	MOVQ      AX, at(DI)

// func markBlocks(to *marks, p *byte, n int, comma byte)
// Requires AVX2.
TEXT ·markBlocks(SB), NOSPLIT, $0-25
	MOVQ         to+0(FP), DI
	MOVQ         p+8(FP), SI
	MOVQ         n+16(FP), CX
	VPBROADCASTB comma+24(FP), Y4
	MOVL         $0x0a, AX
	MOVQ         AX, X5
	VPBROADCASTB X5, Y5
	MOVL         $0x22, AX
	MOVQ         AX, X6
	VPBROADCASTB X6, Y6
	VPXOR        Y7, Y7, Y7

loop:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	FIND(Y4, 0)
	FIND(Y5, 8)
	FIND(Y6, 16)

	// Bytes beyond ASCII have the bit that VPMOVMSKB takes. NUL is added to them.
	VPCMPEQB  Y7, Y0, Y2
	VPCMPEQB  Y7, Y1, Y3
	VPOR      Y0, Y2, Y2
	VPOR      Y1, Y3, Y3
	VPMOVMSKB Y2, AX
	VPMOVMSKB Y3, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	MOVQ      AX, 24(DI)

	ADDQ $64, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  loop
	VZEROUPPER
	RET
