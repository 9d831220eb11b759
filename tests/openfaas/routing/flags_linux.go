package main

import (
	"syscall"
	"unsafe"
)

// interfaceRequest is ifreq of netdevice(7), as far as flags go.
type interfaceRequest struct {
	name  [syscall.IFNAMSIZ]byte
	flags uint16
	_     [22]byte
}

// setFlags sets an interface's flags through a socket.
func setFlags(socket int, name string, flags uint16) error {
	request := interfaceRequest{flags: flags}
	copy(request.name[:], name)
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}
