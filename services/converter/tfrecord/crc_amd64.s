#include "textflag.h"

// func shortCRC(crc uint32, p *byte, n, words int, once, twice uint64) uint32
// Requires SSE4.2 and PCLMULQDQ.
TEXT ·shortCRC(SB), NOSPLIT, $0-52
	MOVL crc+0(FP), AX
	MOVQ p+8(FP), SI
	MOVQ n+16(FP), DI
	MOVQ words+24(FP), CX
	TESTQ CX, CX
	JZ   tail

	// Three lanes at once, because each CRC32Q waits for the one before it in its lane.
	LEAQ (CX*8), R8
	LEAQ (CX)(CX*2), R9
	SHLQ $3, R9
	SUBQ R9, DI
	XORL BX, BX
	XORL DX, DX

lanes:
	CRC32Q (SI), AX
	CRC32Q (SI)(R8*1), BX
	CRC32Q (SI)(R8*2), DX
	ADDQ   $8, SI
	DECQ   CX
	JNZ    lanes
	LEAQ   (SI)(R8*2), SI

	// The first lane is moved on by the length of two, the second by that of one.
	MOVQ      AX, X0
	MOVQ      twice+40(FP), X1
	PCLMULQDQ $0, X1, X0
	MOVQ      BX, X2
	MOVQ      once+32(FP), X3
	PCLMULQDQ $0, X3, X2
	PXOR      X2, X0
	MOVQ      X0, R9
	XORL      AX, AX
	CRC32Q    R9, AX
	XORL      DX, AX

tail:
	SUBQ $8, DI
	JB   bytes

words:
	CRC32Q (SI), AX
	ADDQ   $8, SI
	SUBQ   $8, DI
	JAE    words

bytes:
	ADDQ $8, DI
	JZ   done

byte:
	CRC32B (SI), AX
	INCQ   SI
	DECQ   DI
	JNZ    byte

done:
	MOVL AX, ret+48(FP)
	RET
