//go:build unix

package postgres

import "syscall"

// lowWater sets how much must have come before the kernel tells. Where it
// cannot, it tells of each message.
func (c *gatherConn) lowWater(bytes int) {
	if c.raw != nil {
		_ = c.raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
		})
	}
}
