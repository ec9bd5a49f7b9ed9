/**
 * Every error this package throws on purpose. The message has one form:
 * `operator: what is wrong, with the value; what to do`.
 */
export class OpError extends Error {
  override readonly name: string = 'OpError';
  /** The operator, command or module that refused. */
  readonly op: string;
  /** @param op who refused; @param message what is wrong, with the value, and the remedy */
  constructor(op: string, message: string, options?: { cause?: unknown }) {
    super(`${op}: ${message}`, options);
    this.op = op;
  }
}

/** A tensor has the wrong rank or size, or an axis lies outside its shape. */
export class ShapeError extends OpError {
  override readonly name: string = 'ShapeError';
}

/** A tensor has an element type that the operator does not take. */
export class DTypeError extends OpError {
  override readonly name: string = 'DTypeError';
}

/** An option or a value is outside what the operator is defined for. */
export class ArgumentError extends OpError {
  override readonly name: string = 'ArgumentError';
}

/** A tensor, index or device was used after it was disposed. */
export class DisposedError extends OpError {
  override readonly name: string = 'DisposedError';
}

/** The machine lacks something that is needed: an adapter, a feature, a limit. */
export class UnsupportedError extends OpError {
  override readonly name: string = 'UnsupportedError';
}

/** The GPU reported an error: validation, out of memory, or a failed compilation. */
export class GpuError extends OpError {
  override readonly name: string = 'GpuError';
}

/** The device went away: driver reset, machine asleep, or the process lost its GPU. */
export class DeviceLostError extends OpError {
  override readonly name: string = 'DeviceLostError';
}

/** A file is not what it says: truncated, hostile, of another version. */
export class FormatError extends OpError {
  override readonly name: string = 'FormatError';
}

/** A file or folder cannot be read or written: missing, no permission, no space. */
export class FileError extends OpError {
  override readonly name: string = 'FileError';
}

/** A database that holds a vocabulary cannot be reached, failed, or gave something that cannot be right. */
export class EngineError extends OpError {
  override readonly name: string = 'EngineError';
}
