//! Expressions over a thread's registers. A program names the registers; a model evaluates them by
//! number.

pub(crate) type Value = u8;

pub(crate) const MOST_REGISTERS: usize = 16;

/// An expression over registers.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Is(Value),
    Register(&'static str),
    Two(Op, Box<Expr>, Box<Expr>),
    If(Box<[Expr; 3]>),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Add,
    Minus,
    Min,
    Max,
    Eq,
    Less,
    And,
    Or,
    /// The lesser of a number and a word, or the number if the word is 0.
    Held,
}

pub(crate) fn r(register: &'static str) -> Expr {
    Expr::Register(register)
}

impl From<Value> for Expr {
    fn from(value: Value) -> Expr {
        Expr::Is(value)
    }
}

impl From<&'static str> for Expr {
    fn from(register: &'static str) -> Expr {
        Expr::Register(register)
    }
}

macro_rules! operators {
    ($($name:ident => $op:ident),*) => {$(
        pub(crate) fn $name(self, other: impl Into<Expr>) -> Expr {
            Expr::Two(Op::$op, Box::new(self), Box::new(other.into()))
        }
    )*};
}

impl Expr {
    operators!(
        plus => Add, minus => Minus, min => Min, max => Max, is => Eq, below => Less, and => And,
        or => Or, held => Held
    );

    pub(crate) fn not(self) -> Expr {
        self.is(0)
    }

    pub(crate) fn reaches(self, other: impl Into<Expr>) -> Expr {
        self.below(other).not()
    }

    pub(crate) fn then(self, yes: impl Into<Expr>, no: impl Into<Expr>) -> Expr {
        Expr::If(Box::new([self, yes.into(), no.into()]))
    }

    /// Whether the word `self` holds up grace period `g`.
    pub(crate) fn holds_up(self, g: impl Into<Expr>) -> Expr {
        Expr::from(0).below(self.clone()).and(self.below(g))
    }
}

/// An expression over registers by number.
#[derive(Clone, Debug)]
pub(crate) enum Code {
    Is(Value),
    Register(u8),
    Two(Op, Box<Code>, Box<Code>),
    If(Box<[Code; 3]>),
}

impl Code {
    pub(crate) fn eval(&self, registers: &[Value; MOST_REGISTERS]) -> Value {
        match self {
            Code::Is(value) => *value,
            Code::Register(n) => registers[usize::from(*n)],
            Code::If(parts) => {
                let [when, yes, no] = &**parts;
                let part = if when.eval(registers) != 0 { yes } else { no };
                part.eval(registers)
            }
            Code::Two(op, a, b) => {
                let (a, b) = (a.eval(registers), b.eval(registers));
                match op {
                    Op::Add => a.checked_add(b).expect("numbers stay small"),
                    Op::Minus => a.checked_sub(b).expect("no less than 0"),
                    Op::Min => a.min(b),
                    Op::Max => a.max(b),
                    Op::Eq => u8::from(a == b),
                    Op::Less => u8::from(a < b),
                    Op::And => u8::from(a != 0 && b != 0),
                    Op::Or => u8::from(a != 0 || b != 0),
                    Op::Held => {
                        if b == 0 {
                            a
                        } else {
                            a.min(b)
                        }
                    }
                }
            }
        }
    }

    /// Returns the registers that the expression reads, as bits.
    pub(crate) fn reads(&self) -> u16 {
        match self {
            Code::Is(_) => 0,
            Code::Register(n) => 1 << n,
            Code::Two(_, a, b) => a.reads() | b.reads(),
            Code::If(parts) => parts.iter().fold(0, |all, part| all | part.reads()),
        }
    }
}
