#include "textflag.h"

// func findMarkerAVX2(p []byte) int
// It looks at 64 bytes at a time, and at the 64 that begin one byte later.
TEXT ·findMarkerAVX2(SB), NOSPLIT, $0-32
	MOVQ     p_base+0(FP), SI
	MOVQ     p_len+8(FP), CX
	MOVQ     SI, DI              // where to read
	LEAQ     -65(SI)(CX*1), DX   // the last place where 65 bytes can be read
	VPCMPEQB Y0, Y0, Y0          // all 0xff
	VPXOR    Y1, Y1, Y1          // all 0

loop:
	CMPQ     DI, DX
	JGT      rest
	VPCMPEQB (DI), Y0, Y2
	VPCMPEQB 32(DI), Y0, Y3
	VPCMPEQB 1(DI), Y1, Y4
	VPCMPEQB 33(DI), Y1, Y5
	VPANDN   Y2, Y4, Y2          // 0xff and no 0 after it
	VPANDN   Y3, Y5, Y3
	VPOR     Y2, Y3, Y4
	ADDQ     $64, DI
	VPTEST   Y4, Y4
	JZ       loop

	SUBQ      $64, DI
	VPMOVMSKB Y2, AX
	VPMOVMSKB Y3, BX
	SHLQ      $32, BX
	ORQ       BX, AX
	BSFQ      AX, AX
	ADDQ      AX, DI

rest:
	SUBQ SI, DI
	MOVQ DI, ret+24(FP)
	VZEROUPPER
	RET
