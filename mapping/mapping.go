// Package mapping turns definitions into documents: Compile makes a Plan from
// the configuration and the source's catalog, and the plan's Renderers turn
// each change into index and delete actions.
//
// The guarantee: a document is a pure function of its definition and one row
// image, so that a snapshot row and a streamed row give the same bytes; a value
// that the log left out is never taken for NULL; and everything that can be
// known to be wrong is reported by Compile, all at once.
//
// The package does no I/O and owns no goroutines. Renderers are safe for
// concurrent use with a Scratch for each goroutine.
package mapping
