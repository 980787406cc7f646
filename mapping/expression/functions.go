package expression

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/builtin"

	"haystream/mapping/value"
)

// A function is one that expressions may call. call gets boxed values.
type function struct {
	call func(args ...any) (any, error)

	// check returns the type of the result for n arguments, or an error where
	// it does not take so many.
	check func(n int) (Type, error)

	likeArgument bool // the result is of the first argument's type
}

// Names of the functions that operators become. No expression can spell them.
const (
	internalPrefix = "="

	fnTruth     = "=truth"
	fnIsNull    = "=null"
	fnIsNotNull = "=notnull"
	fnIn        = "=in"
	fnNotIn     = "=notin"
	fnNegate    = "=negate"
	fnMember    = "=member"
	fnMethod    = "=method"
	fnSlice     = "=slice"
	fnList      = "=list"
	fnSum       = "=sum"
)

// operatorFunction names the function that stands for an operator.
func operatorFunction(op string) string {
	if op == "^" {
		op = "**"
	}
	return internalPrefix + op
}

// functions returns every function by name: expr's own without predicate, NULL
// where an argument is NULL; ours instead of those that would lose digits.
func functions() map[string]function {
	all := map[string]function{}
	for _, b := range builtin.Builtins {
		if !b.Predicate && !slices.Contains([]string{"now", "type", "mean", "median"}, b.Name) {
			all[b.Name] = native(b)
		}
	}
	operators(all)
	clockFunctions(all)
	for name, f := range map[string]func(x any, digits int) (any, error){
		"abs": func(x any, _ int) (any, error) { return value.Abs(x) }, "round": value.Round, "floor": value.Floor, "ceil": value.Ceil,
	} {
		all[name] = function{call: numeric(f), check: upTo(2, AnyType), likeArgument: true}
	}
	all["int"] = function{call: onValue(value.ToInt), check: upTo(1, IntType)}
	all["float"] = function{call: onValue(value.ToFloat), check: upTo(1, FloatType)}
	all["string"] = function{call: onValue(func(v any) (any, error) { return value.Text(v) }), check: upTo(1, TextType)}
	all["min"] = function{call: value.Min, check: upTo(math.MaxInt, AnyType), likeArgument: true}
	all["max"] = function{call: value.Max, check: upTo(math.MaxInt, AnyType), likeArgument: true}
	all["toJSON"] = function{call: onValue(func(v any) (any, error) {
		text, _, err := value.AppendJSON(nil, v)
		return string(text), err
	}), check: upTo(1, TextType)}
	all["fromJSON"] = function{call: onValue(func(v any) (any, error) {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("fromJSON wants text, not %s", value.Describe(v))
		}
		return value.FromJSON([]byte(s))
	}), check: upTo(1, AnyType)}
	return all
}

// date is expr's own function for text without a zone of its own, too, which is of the scope's. native is expr's.
func (p *patcher) date(native function) function {
	read := native.call
	native.call = func(args ...any) (any, error) {
		text, ok := args[0].(string)
		switch {
		case ok && len(args) == 1:
			if t, err := value.ParseTimeLiteral(text, p.zone); err == nil {
				return t, nil
			}
			return read(p.zone, text)
		case ok && len(args) == 2:
			return read(p.zone, text, args[1])
		}
		return read(args...)
	}
	return native
}

// operators adds the functions that operators become.
func operators(all map[string]function) {
	for op, ok := range map[string]func(c int) bool{
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
	} {
		all[operatorFunction(op)] = function{call: func(args ...any) (any, error) {
			if value.IsNull(args[0]) || value.IsNull(args[1]) {
				return false, nil
			}
			c, err := value.Compare(args[0], args[1])
			return err == nil && ok(c), err
		}}
	}
	for _, op := range []string{"+", "-", "*", "/", "%", "**"} {
		all[operatorFunction(op)] = function{call: func(args ...any) (any, error) { return value.Compute(op, args[0], args[1]) }}
	}
	for name, call := range map[string]func(args ...any) (any, error){
		operatorFunction("=="): func(args ...any) (any, error) {
			return !value.IsNull(args[0]) && !value.IsNull(args[1]) && value.Equal(args[0], args[1]), nil
		},
		operatorFunction("!="): func(args ...any) (any, error) {
			return !value.IsNull(args[0]) && !value.IsNull(args[1]) && !value.Equal(args[0], args[1]), nil
		},
		fnStep:      takeStep,
		fnTruth:     func(args ...any) (any, error) { return value.Truth(args[0]) },
		fnIsNull:    func(args ...any) (any, error) { return value.IsNull(args[0]), nil },
		fnIsNotNull: func(args ...any) (any, error) { return !value.IsNull(args[0]), nil },
		fnIn:        func(args ...any) (any, error) { return isIn(args[0], args[1]) },
		fnNotIn: func(args ...any) (any, error) {
			in, err := isIn(args[0], args[1])
			return err == nil && !in && !value.IsNull(args[0]) && !value.IsNull(args[1]), err
		},
		fnNegate: func(args ...any) (any, error) { return value.Negate(args[0]) },
		fnMember: func(args ...any) (any, error) { return memberOf(args[0], args[1]) },
		fnMethod: callMethod,
		fnSlice:  func(args ...any) (any, error) { return value.Slice(args[0], args[1], args[2]) },
		fnList:   func(args ...any) (any, error) { return value.List(args[0]) },
		fnSum:    func(args ...any) (any, error) { return value.Sum(args[0]) },
	} {
		all[name] = function{call: call}
	}
}

// upTo checks that a function gets one argument, and no more than most.
func upTo(most int, t Type) func(int) (Type, error) {
	return func(n int) (Type, error) {
		switch {
		case n >= 1 && n <= most:
			return t, nil
		case most == 1:
			return t, fmt.Errorf("wants 1 argument, not %d", n)
		}
		return t, fmt.Errorf("wants at least 1 argument, not %d", n)
	}
}

// onValue makes a function of one argument that is NULL for NULL.
func onValue(f func(any) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		if value.IsNull(args[0]) {
			return value.Null(nil), nil
		}
		return f(args[0])
	}
}

// numeric makes a function of a number and digits, NULL for NULL.
func numeric(f func(any, int) (any, error)) func(...any) (any, error) {
	return func(args ...any) (any, error) {
		digits := 0
		if len(args) > 1 {
			n, ok := value.Normalize(args[1]).(int64)
			if !ok || n < 0 || n > value.MaxDigits {
				return nil, fmt.Errorf("digits must be a whole number from 0 to %d", value.MaxDigits)
			}
			digits = int(n)
		}
		if value.IsNull(args[0]) {
			return value.Null(nil), nil
		}
		return f(args[0], digits)
	}
}

// native makes one of expr's own functions NULL where an argument is NULL.
func native(b *builtin.Function) function {
	run := b.Func
	switch {
	case run != nil:
	case b.Fast != nil:
		run = func(args ...any) (any, error) { return b.Fast(args[0]), nil } //nolint:unparam // as the others
	default:
		run = func(args ...any) (any, error) {
			v, _, err := b.Safe(args...)
			return v, err
		}
	}
	limit := bounded[b.Name]
	return function{
		call: func(args ...any) (any, error) {
			for i := range args {
				if value.IsNull(args[i]) {
					return value.Null(nil), nil
				}
				if t, ok := args[i].(value.Time); ok {
					args[i] = t.Time
				}
			}
			if limit != nil {
				if err := limit(args); err != nil {
					return nil, err
				}
			}
			v, err := run(args...)
			return value.Normalize(v), err
		},
		check: func(n int) (Type, error) { return nativeType(b, n) },
	}
}

// nativeType asks one of expr's own functions what it makes of n arguments.
func nativeType(b *builtin.Function, n int) (Type, error) {
	if b.Validate != nil {
		args := make([]reflect.Type, n)
		for i := range args {
			args[i] = reflect.TypeFor[any]()
		}
		t, err := b.Validate(args)
		return typeOfGo(t), err
	}
	t := b.Type()
	for _, t := range b.Types {
		if t.NumIn() == n || t.IsVariadic() && n >= t.NumIn()-1 {
			return typeOfGo(t.Out(0)), nil
		}
	}
	return typeOfGo(t.Out(0)), fmt.Errorf("does not take %d arguments", n)
}

func typeOfGo(t reflect.Type) Type {
	switch {
	case t == nil:
		return AnyType
	case t == reflect.TypeFor[time.Time]():
		return TimeType
	case t == reflect.TypeFor[time.Duration]():
		return DurationType
	}
	switch t.Kind() {
	case reflect.Bool:
		return BoolType
	case reflect.Int, reflect.Int64:
		return IntType
	case reflect.Float64:
		return FloatType
	case reflect.String:
		return TextType
	case reflect.Slice:
		return ListType
	case reflect.Map:
		return ObjectType
	}
	return AnyType
}
