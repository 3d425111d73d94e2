//! Reads tensors from a PyTorch checkpoint without running anything.
//!
//! A checkpoint in PyTorch's older format is five pickles (a magic number, a version, the machine's sizes, the state
//! dictionary, the list of storage keys) followed by the storages: a count of elements and the elements. Pickle is a
//! little stack language that can call any function; this reader knows the opcodes that a state dictionary needs and
//! builds plain values. The three names that may be called are an ordered dictionary, the rebuilding of a tensor and
//! the types of storages. Everything else is an error.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// The first number of a checkpoint.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Deepest stack and longest memo; a state dictionary needs a few thousand.
const LIMIT: usize = 100_000;

/// A dense tensor of single-precision numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sides.
    pub shape: Vec<usize>,
    /// Elements, last side fastest.
    pub data: Vec<f32>,
}

/// All single-precision tensors of a checkpoint, by name. Tensors of integers (counters) are left out.
pub fn read_checkpoint(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let mut input = Input { bytes, at: 0 };
    match read_pickle(&mut input)? {
        Value::Big(magic) if magic == MAGIC => {}
        _ => bail!("this is not a checkpoint in PyTorch's older format"),
    }
    ensure!(read_pickle(&mut input)? == Value::Int(1001), "the checkpoint's version is not 1001");
    read_pickle(&mut input)?;
    let Value::Dict(entries) = read_pickle(&mut input)? else { bail!("the checkpoint is not a dictionary") };
    let Value::List(keys) = read_pickle(&mut input)? else { bail!("the list of storages is missing") };

    let kinds = storage_kinds(&entries);
    let mut storages = BTreeMap::new();
    for key in keys {
        let Value::Text(key) = key else { bail!("a storage's key is not text") };
        let count = usize::try_from(i64::from_le_bytes(input.array()?))?;
        let kind = kinds.get(&key).with_context(|| format!("nothing uses storage {key}"))?;
        let data = input.take(count.checked_mul(kind.size()).context("a storage is too long")?)?;
        storages.insert(key, (*kind, data));
    }
    ensure!(input.at == bytes.len(), "bytes are left after the last storage");

    let mut tensors = BTreeMap::new();
    for (name, value) in entries {
        let (Value::Text(name), Value::Tensor(reference)) = (name, value) else {
            bail!("an entry of the state dictionary is not a named tensor");
        };
        let (kind, data) = storages.get(&reference.storage).context("a tensor without its storage")?;
        if *kind == Kind::Float {
            tensors.insert(name, reference.tensor(data)?);
        }
    }
    Ok(tensors)
}

fn storage_kinds(entries: &[(Value, Value)]) -> BTreeMap<String, Kind> {
    entries
        .iter()
        .filter_map(|(_, value)| match value {
            Value::Tensor(reference) => Some((reference.storage.clone(), reference.kind)),
            _ => None,
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Float,
    Long,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Kind::Float => 4,
            Kind::Long => 8,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Reference {
    storage: String,
    kind: Kind,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl Reference {
    /// The elements in row order; weights that came from TensorFlow lie transposed in their storage.
    fn tensor(&self, storage: &[u8]) -> Result<Tensor> {
        let numbers = storage.as_chunks::<4>().0;
        let count: usize = self.shape.iter().product();
        ensure!(count <= numbers.len(), "a tensor is larger than its storage");
        let mut data = Vec::with_capacity(count);
        for row in 0..count {
            let (mut left, mut at) = (row, self.offset);
            for (side, stride) in self.shape.iter().zip(&self.strides).rev() {
                at += left % side * stride;
                left /= side;
            }
            data.push(f32::from_le_bytes(*numbers.get(at).context("a tensor reaches beyond its storage")?));
        }
        Ok(Tensor { shape: self.shape.clone(), data })
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Bool,
    Int(i64),
    Big(Vec<u8>),
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global(Global),
    Storage { kind: Kind, key: String },
    Tensor(Reference),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    Storage(Kind),
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).context("a length is too long")?;
        let taken = self.bytes.get(self.at..end).context("the checkpoint ends early")?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|b| *b == b'\n').context("a line without an end")?;
        self.at += end + 1;
        Ok(std::str::from_utf8(&rest[..end])?)
    }
}

/// One pickle, up to its `STOP`.
fn read_pickle(input: &mut Input<'_>) -> Result<Value> {
    let mut machine = Machine::default();
    loop {
        let at = input.at;
        let opcode = input.byte()?;
        if opcode == b'.' {
            return machine.pop();
        }
        machine.step(opcode, input).with_context(|| format!("opcode {opcode:#04x} at byte {at}"))?;
        ensure!(machine.stack.len() < LIMIT && machine.memo.len() < LIMIT, "the pickle is too large");
    }
}

#[derive(Default)]
struct Machine {
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
}

impl Machine {
    fn step(&mut self, opcode: u8, input: &mut Input<'_>) -> Result<()> {
        match opcode {
            0x80 => ensure!(input.byte()? == 2, "only protocol 2 is read"),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool),
            b'K' => {
                let value = input.byte()?.into();
                self.stack.push(Value::Int(value));
            }
            b'M' => self.stack.push(Value::Int(u16::from_le_bytes(input.array()?).into())),
            b'J' => self.stack.push(Value::Int(i32::from_le_bytes(input.array()?).into())),
            0x8a => {
                let length = input.byte()?.into();
                self.stack.push(Value::Big(input.take(length)?.to_vec()));
            }
            b'X' => {
                let length = u32::from_le_bytes(input.array()?) as usize;
                let text = std::str::from_utf8(input.take(length)?)?;
                self.stack.push(Value::Text(text.to_owned()));
            }
            b']' => self.stack.push(Value::List(Vec::new())),
            b'}' => self.stack.push(Value::Dict(Vec::new())),
            b')' => self.stack.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = self.since_mark()?;
                self.stack.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let from = self.stack.len().checked_sub(count).context("the stack is too short")?;
                let items = self.stack.split_off(from);
                self.stack.push(Value::Tuple(items));
            }
            b'a' | b'e' => self.append(opcode == b'e')?,
            b's' | b'u' => self.set_items(opcode == b'u')?,
            b'q' => self.put(u32::from(input.byte()?))?,
            b'r' => self.put(u32::from_le_bytes(input.array()?))?,
            b'h' => self.get(u32::from(input.byte()?))?,
            b'j' => self.get(u32::from_le_bytes(input.array()?))?,
            b'c' => {
                let (module, name) = (input.line()?, input.line()?);
                self.stack.push(Value::Global(global(module, name)?));
            }
            b'Q' => {
                let id = self.pop()?;
                self.stack.push(storage(&id)?);
            }
            b'R' => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.stack.push(call(&function, arguments)?);
            }
            // The attributes of the state dictionary (its versions) are dropped.
            b'b' => drop(self.pop()?),
            _ => bail!("a state dictionary does not need this opcode"),
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        self.stack.pop().context("the stack is empty")
    }

    fn since_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().context("no mark is set")?;
        ensure!(mark <= self.stack.len(), "the mark lies above the stack");
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, many: bool) -> Result<()> {
        let items = if many { self.since_mark()? } else { vec![self.pop()?] };
        match self.stack.last_mut() {
            Some(Value::List(list)) => list.extend(items),
            _ => bail!("there is no list to append to"),
        }
        Ok(())
    }

    fn set_items(&mut self, many: bool) -> Result<()> {
        let items = if many {
            self.since_mark()?
        } else {
            let (value, key) = (self.pop()?, self.pop()?);
            vec![key, value]
        };
        let Some(Value::Dict(entries)) = self.stack.last_mut() else {
            bail!("there is no dictionary to fill")
        };
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            entries.push((key, items.next().context("a key without a value")?));
        }
        Ok(())
    }

    fn put(&mut self, slot: u32) -> Result<()> {
        let value = self.stack.last().context("the stack is empty")?.clone();
        self.memo.insert(slot, value);
        Ok(())
    }

    /// Containers are remembered as they were, so one that may have grown since cannot be recalled.
    fn get(&mut self, slot: u32) -> Result<()> {
        match self.memo.get(&slot) {
            Some(Value::List(_) | Value::Dict(_)) => bail!("shared containers are not read"),
            Some(value) => self.stack.push(value.clone()),
            None => bail!("nothing is remembered in slot {slot}"),
        }
        Ok(())
    }
}

fn global(module: &str, name: &str) -> Result<Global> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch", "FloatStorage") => Global::Storage(Kind::Float),
        ("torch", "LongStorage") => Global::Storage(Kind::Long),
        _ => bail!("`{module}.{name}` is not needed for tensors and is not called"),
    })
}

/// `('storage', type, key, location, count, view)`.
fn storage(id: &Value) -> Result<Value> {
    match id {
        Value::Tuple(items) => match items.as_slice() {
            [
                Value::Text(tag),
                Value::Global(Global::Storage(kind)),
                Value::Text(key),
                _,
                Value::Int(_),
                Value::None,
            ] if tag == "storage" => Ok(Value::Storage { kind: *kind, key: key.clone() }),
            _ => bail!("a storage is described in an unknown way"),
        },
        _ => bail!("a storage is described in an unknown way"),
    }
}

fn call(function: &Value, arguments: Value) -> Result<Value> {
    match (function, arguments) {
        (Value::Global(Global::OrderedDict), Value::Tuple(items)) if items.is_empty() => {
            Ok(Value::Dict(Vec::new()))
        }
        (Value::Global(Global::RebuildTensor), Value::Tuple(items)) => match items.as_slice() {
            [
                Value::Storage { kind, key },
                Value::Int(offset),
                Value::Tuple(shape),
                Value::Tuple(strides),
                ..,
            ] => {
                let (shape, strides) = (sides(shape)?, sides(strides)?);
                ensure!(strides.len() == shape.len(), "a tensor has a stride too few or too many");
                let offset = usize::try_from(*offset)?;
                Ok(Value::Tensor(Reference { storage: key.clone(), kind: *kind, offset, shape, strides }))
            }
            _ => bail!("a tensor is described in an unknown way"),
        },
        _ => bail!("this call is not made"),
    }
}

fn sides(values: &[Value]) -> Result<Vec<usize>> {
    values
        .iter()
        .map(|value| match value {
            Value::Int(side @ 0..=100_000_000) => Ok(*side as usize),
            _ => bail!("a side of a tensor is not a number"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Value> {
        read_pickle(&mut Input { bytes, at: 0 })
    }

    #[test]
    fn plain_values_are_read() {
        assert_eq!(read(b"\x80\x02K\x07.").unwrap(), Value::Int(7));
        let dict = read(b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00bNu.").unwrap();
        let text = |t: &str| Value::Text(t.into());
        assert_eq!(dict, Value::Dict(vec![(text("a"), Value::Int(1)), (text("b"), Value::None)]));
    }

    #[test]
    fn nothing_is_called() {
        // os.system('id'), as pickle.dumps would write it.
        let error =
            read(b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.").unwrap_err();
        assert!(format!("{error:#}").contains("posix.system"), "{error:#}");
    }

    #[test]
    fn a_transposed_tensor_is_put_in_order() {
        let storage: Vec<u8> = (0..6).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let mut reference = Reference {
            storage: "1".into(),
            kind: Kind::Float,
            offset: 0,
            shape: vec![2, 3],
            strides: vec![1, 2],
        };
        assert_eq!(reference.tensor(&storage).unwrap().data, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        reference.offset = 1;
        assert!(reference.tensor(&storage).is_err());
    }

    #[test]
    fn broken_pickles_are_errors() {
        for bytes in
            [&b""[..], b"\x80\x02", b".", b"t.", b"R.", b"h\x05.", b"X\xff\xff\xff\xffa.", b"\x80\x04."]
        {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
