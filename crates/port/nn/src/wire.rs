//! The little of Protocol Buffers that reading a message takes.
//!
//! Fields come one after the other; what is cut off or of an unknown wire type is [`Broken`], never a panic.

/// The bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file is not an ONNX model, or is cut off")]
pub struct Broken;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Field<'a> {
    Int(u64),
    Bytes(&'a [u8]),
    Float(f32),
    /// Eight bytes, which no field that is read here has.
    Wide,
}

impl<'a> Field<'a> {
    pub(crate) fn int(self) -> Result<i64, Broken> {
        match self {
            Field::Int(value) => Ok(value as i64),
            _ => Err(Broken),
        }
    }

    pub(crate) fn bytes(self) -> Result<&'a [u8], Broken> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(Broken),
        }
    }

    pub(crate) fn text(self) -> Result<String, Broken> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| Broken)
    }

    /// Appends one integer, or a packed list of them.
    pub(crate) fn ints(self, to: &mut Vec<i64>) -> Result<(), Broken> {
        match self {
            Field::Int(value) => to.push(value as i64),
            Field::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    to.push(varint(&mut bytes)? as i64);
                }
            }
            _ => return Err(Broken),
        }
        Ok(())
    }

    /// Appends one number, or a packed list of them.
    pub(crate) fn floats(self, to: &mut Vec<f32>) -> Result<(), Broken> {
        match self {
            Field::Float(value) => to.push(value),
            Field::Bytes(bytes) => {
                let (numbers, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(Broken);
                }
                to.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
            }
            _ => return Err(Broken),
        }
        Ok(())
    }
}

/// The fields of a message, in order.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = field(&mut self.0);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn field<'a>(input: &mut &'a [u8]) -> Result<(u64, Field<'a>), Broken> {
    let key = varint(input)?;
    let value = match key & 7 {
        0 => Field::Int(varint(input)?),
        1 => take(input, 8).map(|_| Field::Wide)?,
        2 => {
            let length = usize::try_from(varint(input)?).map_err(|_| Broken)?;
            Field::Bytes(take(input, length)?)
        }
        5 => {
            let bytes = take(input, 4)?;
            Field::Float(f32::from_le_bytes(bytes.try_into().map_err(|_| Broken)?))
        }
        _ => return Err(Broken),
    };
    Ok((key >> 3, value))
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], Broken> {
    let (taken, rest) = input.split_at_checked(length).ok_or(Broken)?;
    *input = rest;
    Ok(taken)
}

fn varint(input: &mut &[u8]) -> Result<u64, Broken> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(input, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(Broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_specification() {
        let read = |bytes: &'static [u8]| Fields(bytes).collect::<Result<Vec<_>, _>>();
        assert_eq!(read(&[0x08, 0x96, 0x01]).unwrap(), [(1, Field::Int(150))]);
        assert_eq!(read(b"\x12\x07testing").unwrap(), [(2, Field::Bytes(b"testing"))]);
        assert_eq!(read(&[0x0d, 0, 0, 0x80, 0x3f]).unwrap(), [(1, Field::Float(1.0))]);
        for broken in [&b"\x12\x08testing"[..], &[0x08], &[0x08, 0x80], &[0x0b], &[0xff; 12]] {
            assert_eq!(read(broken), Err(Broken));
        }
    }
}
