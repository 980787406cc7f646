package mysql

// A decoder appends the canonical text of the value at the start of data, as a row
// image has it, and returns how many bytes the value took.
type decoder func(dst, data []byte) (text []byte, size int, err error)

// decoder reads a column's values as rowReader does. wireType and meta are as
// replication.TableMapEvent has them.
func (t *columnType) decoder(wireType byte, meta uint16) (decoder, error) {
	l, err := layoutOf(wireType, meta)
	if err != nil {
		return nil, err
	}
	form, err := t.form(l)
	if err != nil {
		return nil, err
	}
	return func(dst, data []byte) ([]byte, int, error) {
		size, err := l.cut(data)
		switch {
		case err != nil:
			return dst, 0, err
		case form.convert == nil:
			return append(dst, data[l.prefix:size]...), size, nil
		}
		dst, err = form.convert(dst, data[l.prefix:size])
		return dst, size, err
	}, nil
}

// skipper returns how to tell how many bytes a value takes.
func skipper(wireType byte, meta uint16) (func(data []byte) (int, error), error) {
	l, err := layoutOf(wireType, meta)
	return l.cut, err
}
