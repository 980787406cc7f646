package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// ANSI sequences (ECMA-48, chapter 8.3; the alternate screen is xterm's).
const (
	reset     = "\x1b[0m"
	bold      = "\x1b[1m"
	dim       = "\x1b[2m"
	red       = "\x1b[31m"
	green     = "\x1b[32m"
	yellow    = "\x1b[33m"
	cyan      = "\x1b[36m"
	enter     = "\x1b[?1049h\x1b[?25l" // alternate screen, no cursor
	leave     = "\x1b[?25h\x1b[?1049l"
	home      = "\x1b[H"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
)

// terminalSize is the width and height of the terminal that the file is; 0 where it is none.
func terminalSize(f *os.File) (width, height int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// paint draws the lines over those of the last time, in one write, so that nothing flickers.
func paint(out io.Writer, lines []string, width, height int) error {
	var frame strings.Builder
	frame.WriteString(home)
	for i, line := range lines[:min(len(lines), height)] {
		if i > 0 {
			frame.WriteString("\r\n")
		}
		frame.WriteString(clip(line, width) + clearLine)
	}
	frame.WriteString(clearRest)
	if _, err := io.WriteString(out, frame.String()); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

// clip cuts the line at the width, with an ellipsis, and ends its colours.
func clip(line string, width int) string {
	if columns(line) <= width {
		return line + reset
	}
	var out strings.Builder
	for used := 0; used < width-1; {
		size := sequence(line)
		if size == 0 {
			_, size = utf8.DecodeRuneInString(line)
			used++
		}
		out.WriteString(line[:size])
		line = line[size:]
	}
	return out.String() + reset + "…"
}

// columns is the width of the line on the screen; the demo has no wide characters.
func columns(line string) int {
	n := 0
	for line != "" {
		size := sequence(line)
		if size == 0 {
			_, size = utf8.DecodeRuneInString(line)
			n++
		}
		line = line[size:]
	}
	return n
}

// sequence is the length of the ANSI sequence that the line begins with; 0: none.
func sequence(line string) int {
	if !strings.HasPrefix(line, "\x1b[") {
		return 0
	}
	return strings.IndexByte(line, 'm') + 1
}

// left pads the text to the width, cutting it where it is longer; right puts it at the other end.
func left(text string, width int) string {
	if columns(text) > width {
		return clip(text, width)
	}
	return text + strings.Repeat(" ", width-columns(text))
}

func right(text string, width int) string {
	return strings.Repeat(" ", max(0, width-columns(text))) + text
}

// curve draws the values beside each other, the highest at full height.
func curve(values []float64, width int) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	values = last(values, width)
	var highest float64
	for _, v := range values {
		highest = max(highest, v)
	}
	var out strings.Builder
	for _, v := range values {
		level := 0
		if highest > 0 {
			level = int(v / highest * float64(len(levels)-1))
		}
		out.WriteRune(levels[max(level, 0)])
	}
	return left(out.String(), width)
}

// beam draws a bar of the share of the width, to an eighth of a character.
func beam(share float64, width int) string {
	parts := []rune(" ▏▎▍▌▋▊▉")
	eighths := int(share*float64(width)*8 + 0.5)
	text := strings.Repeat("█", eighths/8)
	if eighths%8 > 0 {
		text += string(parts[eighths%8])
	}
	return left(text, width)
}

// amount is the number with its thousands apart; a dash where it is unknown.
func amount(n int64) string {
	if n < 0 {
		return "–"
	}
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// seconds is a short time, in the unit that people would take.
func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.1f s", s)
}

// clock is a time span as minutes and seconds.
func clock(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}
