//go:build !linux

package sagemaker

import "syscall"

// ownGroup puts a child at the head of its own process group. Only Linux can also tie its life to ours.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killStrays needs /proc. Elsewhere a program outlives a killed localcloud until it ends by itself.
func killStrays(string) error { return nil }
