//go:build unix

package postgres

import "syscall"

// poll reads what has come. It does not wait, and leaves it to the next Read
// to say what is wrong where something is.
func (c *gatherConn) poll() int {
	n := 0
	if c.raw != nil {
		_ = c.raw.Read(func(fd uintptr) bool {
			n, _ = syscall.Read(int(fd), c.buffer)
			return true
		})
	}
	return max(0, n)
}

// lowWater sets how much must have come before the kernel tells. Where it
// cannot, it tells of each message.
func (c *gatherConn) lowWater(bytes int) {
	if c.raw != nil {
		_ = c.raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
		})
	}
}
