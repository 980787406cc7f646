package web

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"haystream/replicator/widgets"
)

// A chart is a picture of a graph, in the units of its own view box.
type chart struct {
	ID, Title, Summary string
	Width, Height      int
	Bars               []column
	Lines              []gridLine
	Labels             []axisLabel
	Path               string // of a spark line
}

type column struct {
	X, Y, Width, Height string
	Label               string // for a pointer that rests on it
}

type gridLine struct{ Y, Text string }

type axisLabel struct{ X, Text string }

// The measures of a graph. Its numbers are on the right, so that the last bars stand by them.
const (
	chartWidth  = 560
	chartHeight = 150
	plotTop     = 8
	plotBottom  = 128
	plotRight   = 512
	mostLabels  = 5
	labelWidth  = 40
)

// graph draws a widget's points as bars, from 0.
func graph(v *widgets.View) *chart {
	c := &chart{ID: "graph-" + v.Name, Title: v.Title, Width: chartWidth, Height: chartHeight}
	points := v.Answer.Points
	if len(points) == 0 {
		c.Summary = "no points"
		return c
	}
	values := make([]float64, len(points))
	low, high, at := 0.0, 0.0, 0
	for i, p := range points {
		values[i] = value(p.Y)
		if values[i] > values[at] {
			at = i
		}
		low, high = min(low, values[i]), max(high, values[i])
	}
	c.Summary = fmt.Sprintf("%d points of %s each, from %s to %s; the highest is %s, on %s; the last is %s",
		len(points), one(v.Every), when(points[0].X, v), when(points[len(points)-1].X, v), figure(points[at].Y), when(points[at].X, v), figure(points[len(points)-1].Y))
	step := ticks(low, high)
	low, high = math.Floor(low/step)*step, math.Ceil(high/step)*step
	if high == low {
		high = low + step
	}
	y := func(of float64) float64 { return plotBottom - (of-low)/(high-low)*(plotBottom-plotTop) }
	for tick := low; tick <= high+step/2; tick += step {
		c.Lines = append(c.Lines, gridLine{coordinate(y(tick)), short(tick)})
	}
	each := float64(plotRight) / float64(len(points))
	gap := min(each*0.2, 2)
	for i, p := range points {
		top, bottom := y(max(values[i], 0)), y(min(values[i], 0))
		c.Bars = append(c.Bars, column{
			X: coordinate(float64(i)*each + gap/2), Y: coordinate(top), Width: coordinate(each - gap), Height: coordinate(bottom - top),
			Label: when(p.X, v) + ": " + figure(p.Y),
		})
	}
	every := max(1, (len(points)+mostLabels-1)/mostLabels)
	for i := 0; i < len(points); i += every {
		if x := float64(i) * each; x < plotRight-labelWidth {
			c.Labels = append(c.Labels, axisLabel{X: coordinate(x), Text: axis(points[i].X, v)})
		}
	}
	return c
}

// one is an interval with its article.
func one(interval string) string {
	if interval == "hour" {
		return "an hour"
	}
	return "a " + interval
}

// value is a point's height; nothing is 0.
func value(raw json.RawMessage) float64 {
	f, _ := strconv.ParseFloat(string(raw), 64)
	return f
}

// ticks is the distance of about three lines, a round number.
func ticks(low, high float64) float64 {
	if high <= low {
		return 1
	}
	rough := (high - low) / 3
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 5, 10} {
		if m*power >= rough {
			return m * power
		}
	}
	return 10 * power
}

// short is a number on an axis.
func short(f float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(f) >= unit.size {
			return strconv.FormatFloat(math.Round(f/unit.size*100)/100, 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatFloat(math.Round(f*1e6)/1e6, 'f', -1, 64)
}

// moments are how the time of a point is written, in full and on the axis, by the graph's interval.
var moments = map[string]struct{ full, short string }{
	"minute": {"2 Jan 15:04", "15:04"},
	"hour":   {"2 Jan 15:04", "2 Jan 15:04"},
	"day":    {"2 Jan 2006", "2 Jan"},
	"week":   {"2 Jan 2006", "2 Jan"},
	"month":  {"January 2006", "Jan 2006"},
	"year":   {"2006", "2006"},
}

// when is the time that a point stands for.
func when(x int64, v *widgets.View) string {
	return time.Unix(x, 0).In(v.Zone).Format(moments[v.Every].full)
}

// axis is the same, shorter.
func axis(x int64, v *widgets.View) string {
	return time.Unix(x, 0).In(v.Zone).Format(moments[v.Every].short)
}

func coordinate(f float64) string { return strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64) }

const (
	sparkWidth  = 160
	sparkHeight = 28
)

// spark draws a course as a small line, from 0, which has no axis: its numbers stand beside it.
func spark(id, title string, c course, show func(float64) string) *chart {
	out := &chart{ID: id, Title: title, Width: sparkWidth, Height: sparkHeight}
	if len(c) < 2 {
		out.Summary = "nothing measured yet"
		return out
	}
	high := 0.0
	for _, f := range c {
		high = max(high, f)
	}
	out.Summary = fmt.Sprintf("over the last %s: at most %s, now %s", lasting(time.Duration(len(c))*sampleEvery), show(high), show(c.now()))
	if high == 0 {
		high = 1
	}
	var path strings.Builder
	for i, f := range c {
		command := "L"
		if i == 0 {
			command = "M"
		}
		x := sparkWidth - float64(len(c)-1-i)*sparkWidth/(samplesKept-1)
		fmt.Fprintf(&path, "%s%s %s", command, coordinate(x), coordinate(sparkHeight-2-f/high*(sparkHeight-4)))
	}
	out.Path = path.String()
	return out
}
