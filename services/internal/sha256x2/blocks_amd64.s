#include "textflag.h"

// Constants of FIPS 180-4, section 4.2.2.
DATA ·k<>+0x00(SB)/8, $0x71374491428a2f98
DATA ·k<>+0x08(SB)/8, $0xe9b5dba5b5c0fbcf
DATA ·k<>+0x10(SB)/8, $0x59f111f13956c25b
DATA ·k<>+0x18(SB)/8, $0xab1c5ed5923f82a4
DATA ·k<>+0x20(SB)/8, $0x12835b01d807aa98
DATA ·k<>+0x28(SB)/8, $0x550c7dc3243185be
DATA ·k<>+0x30(SB)/8, $0x80deb1fe72be5d74
DATA ·k<>+0x38(SB)/8, $0xc19bf1749bdc06a7
DATA ·k<>+0x40(SB)/8, $0xefbe4786e49b69c1
DATA ·k<>+0x48(SB)/8, $0x240ca1cc0fc19dc6
DATA ·k<>+0x50(SB)/8, $0x4a7484aa2de92c6f
DATA ·k<>+0x58(SB)/8, $0x76f988da5cb0a9dc
DATA ·k<>+0x60(SB)/8, $0xa831c66d983e5152
DATA ·k<>+0x68(SB)/8, $0xbf597fc7b00327c8
DATA ·k<>+0x70(SB)/8, $0xd5a79147c6e00bf3
DATA ·k<>+0x78(SB)/8, $0x1429296706ca6351
DATA ·k<>+0x80(SB)/8, $0x2e1b213827b70a85
DATA ·k<>+0x88(SB)/8, $0x53380d134d2c6dfc
DATA ·k<>+0x90(SB)/8, $0x766a0abb650a7354
DATA ·k<>+0x98(SB)/8, $0x92722c8581c2c92e
DATA ·k<>+0xa0(SB)/8, $0xa81a664ba2bfe8a1
DATA ·k<>+0xa8(SB)/8, $0xc76c51a3c24b8b70
DATA ·k<>+0xb0(SB)/8, $0xd6990624d192e819
DATA ·k<>+0xb8(SB)/8, $0x106aa070f40e3585
DATA ·k<>+0xc0(SB)/8, $0x1e376c0819a4c116
DATA ·k<>+0xc8(SB)/8, $0x34b0bcb52748774c
DATA ·k<>+0xd0(SB)/8, $0x4ed8aa4a391c0cb3
DATA ·k<>+0xd8(SB)/8, $0x682e6ff35b9cca4f
DATA ·k<>+0xe0(SB)/8, $0x78a5636f748f82ee
DATA ·k<>+0xe8(SB)/8, $0x8cc7020884c87814
DATA ·k<>+0xf0(SB)/8, $0xa4506ceb90befffa
DATA ·k<>+0xf8(SB)/8, $0xc67178f2bef9a3f7
GLOBL ·k<>(SB), RODATA|NOPTR, $256

// Turns the bytes of four words around.
DATA ·turn<>+0(SB)/8, $0x0405060700010203
DATA ·turn<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL ·turn<>(SB), RODATA|NOPTR, $16

// Rounds come four at a time, in both lanes. Lane A has its state in X1 and X2 and the last 16 words of its message
// schedule in X3 to X6; lane B in X8 and X9, X10 to X13. X0, the operand that SHA256RNDS2 implies, is used by both in turn.

// LOAD reads four words of the message, of the first 16.
#define LOAD(off, a, b) \
	MOVOU  off(SI), a \
	PSHUFB X15, a     \
	MOVOU  off(DI), b \
	PSHUFB X15, b

// ROUNDS does four rounds with the words a and b.
#define ROUNDS(off, a, b) \
	MOVO        a, X0         \
	PADDD       off(AX), X0   \
	SHA256RNDS2 X0, X1, X2    \
	PSHUFD      $0x0e, X0, X0 \
	SHA256RNDS2 X0, X2, X1    \
	MOVO        b, X0         \
	PADDD       off(AX), X0   \
	SHA256RNDS2 X0, X8, X9    \
	PSHUFD      $0x0e, X0, X0 \
	SHA256RNDS2 X0, X9, X8

// FIRST does the first part of the schedule: a0 and b0 lie four words before a1 and b1.
#define FIRST(a1, a0, b1, b0) \
	SHA256MSG1 a1, a0 \
	SHA256MSG1 b1, b0

// SECOND does the rest: a and b become the four words after a3 and b3, which come after a2 and b2.
#define SECOND(a3, a2, a, b3, b2, b) \
	MOVO       a3, X7     \
	PALIGNR    $4, a2, X7 \
	PADDD      X7, a      \
	SHA256MSG2 a3, a      \
	MOVO       b3, X14    \
	PALIGNR    $4, b2, X14 \
	PADDD      X14, b     \
	SHA256MSG2 b3, b

// ENTER brings a state from the order abcdefgh, low words first, into that of SHA256RNDS2: abef, cdgh, high words first.
#define ENTER(ptr, s0, s1, t) \
	MOVOU   (ptr), s0     \
	MOVOU   16(ptr), s1   \
	PSHUFD  $0xb1, s0, s0 \
	PSHUFD  $0x1b, s1, s1 \
	MOVO    s0, t         \
	PALIGNR $8, s1, s0    \
	PBLENDW $0xf0, t, s1

// LEAVE brings it back.
#define LEAVE(ptr, s0, s1, t) \
	PSHUFD  $0x1b, s0, s0 \
	PSHUFD  $0xb1, s1, s1 \
	MOVO    s0, t         \
	PBLENDW $0xf0, s1, s0 \
	PALIGNR $8, t, s1     \
	MOVOU   s0, (ptr)     \
	MOVOU   s1, 16(ptr)

// func blocks(a, b *[8]uint32, p, q *byte, n int)
// It needs SHA, SSSE3 and SSE4.1.
TEXT ·blocks(SB), NOSPLIT, $64-40
	MOVQ  a+0(FP), R8
	MOVQ  b+8(FP), R9
	MOVQ  p+16(FP), SI
	MOVQ  q+24(FP), DI
	MOVQ  n+32(FP), CX
	TESTQ CX, CX
	JZ    done
	LEAQ  ·k<>(SB), AX
	MOVOU ·turn<>(SB), X15
	ENTER(R8, X1, X2, X7)
	ENTER(R9, X8, X9, X14)

block:
	MOVOU X1, state-64(SP)
	MOVOU X2, state-48(SP)
	MOVOU X8, state-32(SP)
	MOVOU X9, state-16(SP)

	LOAD(0, X3, X10)
	ROUNDS(0, X3, X10)
	LOAD(16, X4, X11)
	ROUNDS(16, X4, X11)
	FIRST(X4, X3, X11, X10)
	LOAD(32, X5, X12)
	ROUNDS(32, X5, X12)
	FIRST(X5, X4, X12, X11)
	LOAD(48, X6, X13)
	ROUNDS(48, X6, X13)
	SECOND(X6, X5, X3, X13, X12, X10)
	FIRST(X6, X5, X13, X12)
	ROUNDS(64, X3, X10)
	SECOND(X3, X6, X4, X10, X13, X11)
	FIRST(X3, X6, X10, X13)
	ROUNDS(80, X4, X11)
	SECOND(X4, X3, X5, X11, X10, X12)
	FIRST(X4, X3, X11, X10)
	ROUNDS(96, X5, X12)
	SECOND(X5, X4, X6, X12, X11, X13)
	FIRST(X5, X4, X12, X11)
	ROUNDS(112, X6, X13)
	SECOND(X6, X5, X3, X13, X12, X10)
	FIRST(X6, X5, X13, X12)
	ROUNDS(128, X3, X10)
	SECOND(X3, X6, X4, X10, X13, X11)
	FIRST(X3, X6, X10, X13)
	ROUNDS(144, X4, X11)
	SECOND(X4, X3, X5, X11, X10, X12)
	FIRST(X4, X3, X11, X10)
	ROUNDS(160, X5, X12)
	SECOND(X5, X4, X6, X12, X11, X13)
	FIRST(X5, X4, X12, X11)
	ROUNDS(176, X6, X13)
	SECOND(X6, X5, X3, X13, X12, X10)
	FIRST(X6, X5, X13, X12)
	ROUNDS(192, X3, X10)
	SECOND(X3, X6, X4, X10, X13, X11)
	FIRST(X3, X6, X10, X13)
	ROUNDS(208, X4, X11)
	SECOND(X4, X3, X5, X11, X10, X12)
	ROUNDS(224, X5, X12)
	SECOND(X5, X4, X6, X12, X11, X13)
	ROUNDS(240, X6, X13)

	MOVOU state-64(SP), X7
	PADDD X7, X1
	MOVOU state-48(SP), X7
	PADDD X7, X2
	MOVOU state-32(SP), X14
	PADDD X14, X8
	MOVOU state-16(SP), X14
	PADDD X14, X9
	ADDQ  $64, SI
	ADDQ  $64, DI
	DECQ  CX
	JNZ   block

	LEAVE(R8, X1, X2, X7)
	LEAVE(R9, X8, X9, X14)

done:
	RET
