import { ArgumentError, DTypeError } from '../core/errors.ts';
import { type OutputFile, openFile } from '../core/formats/files.ts';
import { npyChunks, readNpy } from '../core/formats/npy.ts';
import { openSafetensors, safetensorsChunks } from '../core/formats/safetensors.ts';
import { type ByteSource, readBytes } from '../core/formats/source.ts';
import { type Contract, fieldOf, listNames, showName, type TensorField } from '../core/ops/contract.ts';
import { allocate, type DType, Tensor } from '../core/tensor.ts';
import { suggest } from './nearest.ts';

/** A file on the command line: `a.safetensors`, or `x=a.npy` for one tensor of that name. */
interface FileArgument {
  readonly name: string | undefined;
  readonly path: string;
}

/** `NAME=FILE` or `FILE`. A file with = in its name is given with its folder: `./a=b.npy`. */
function parseFile(text: string): FileArgument {
  const [, name, path] = /^([A-Za-z_][\w.]*)=(.*)$/s.exec(text) ?? [];
  return name === undefined || path === undefined ? { name: undefined, path: text } : { name, path };
}

/**
 * Read the tensors that an operator takes from files, and check them against its contract.
 * Types convert where every value is kept (i64 to i32, i32 to u32, i32 to f32, ...) and are refused otherwise.
 * @param accepted the dtypes that the twin can hold at all
 */
export function readInputs(
  command: string,
  contract: Contract,
  files: readonly string[],
  accepted: readonly DType[],
): Record<string, Tensor> {
  const names = contract.inputs.map(showName);
  const found = new Map<string, Tensor>();
  const origin = new Map<string, string>();
  const refuse = (message: string): ArgumentError => new ArgumentError(command, message);
  const add = (name: string, path: string, read: () => Tensor): void => {
    if (fieldOf(contract.inputs, name) === undefined) {
      if (contract.options.some((o) => o.name === name)) {
        throw refuse(
          `${path}: ${contract.name} takes "${name}" as an option, not as a tensor; use --options`,
        );
      }
      const takes = names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`;
      const hint = suggest(name, names) || `; ${takes}`;
      throw refuse(`${path}: ${contract.name} has no input ${JSON.stringify(name)}${hint}`);
    }
    const before = origin.get(name);
    if (before !== undefined) throw refuse(`the input "${name}" is given twice, in ${before} and in ${path}`);
    origin.set(name, path);
    found.set(name, read());
  };

  for (const text of files) {
    const { name, path } = parseFile(text);
    using source = openFile(command, path);
    if (isNpy(source)) {
      const required = contract.inputs
        .filter((i) => !i.optional)
        .map((i) => (i.list ? `${i.name}.0` : i.name));
      const only = required.length === 1 ? required[0] : undefined;
      const as = name ?? only;
      if (as === undefined) throw refuse(`${path} holds one tensor without a name; give it as NAME=${path}`);
      add(as, path, () => readNpy(source));
      continue;
    }
    const file = openSafetensors(source);
    if (name === undefined) {
      for (const key of file.entries.keys()) add(key, path, () => file.read(key));
      continue;
    }
    const [key, ...more] = file.entries.keys();
    if (key === undefined || more.length > 0) {
      throw refuse(`${path} holds ${file.entries.size} tensors; ${name}=FILE takes a file with one`);
    }
    add(name, path, () => file.read(key));
  }

  const inputs: Record<string, Tensor> = {};
  for (const field of contract.inputs) {
    const present = field.list
      ? listNames(contract.name, field.name, [...found.keys()])
      : [field.name].filter((name) => found.has(name));
    if (present.length === 0 && !field.optional) {
      throw refuse(`${contract.name} needs the input "${showName(field)}": ${field.about}`);
    }
    for (const name of present) {
      const dtypes = field.dtypes.filter((d) => accepted.includes(d));
      const converted = convert(command, `${contract.name}: ${name}`, found.get(name)!, dtypes);
      checkValues(command, contract.name, { ...field, name }, converted);
      inputs[name] = converted;
    }
  }
  return inputs;
}

function isNpy(source: ByteSource): boolean {
  return source.size >= 6 && Buffer.from(readBytes(source, 0, 6)).toString('latin1') === '\x93NUMPY';
}

/** Types to which another may convert, if its values allow. Never a float to an integer: that hides mistakes. */
const conversions: Readonly<Record<DType, readonly DType[]>> = {
  f64: ['f32'],
  f32: ['f64'],
  i32: ['u32', 'f32', 'f64'],
  u32: ['i32', 'f32', 'f64'],
};

/**
 * A tensor in one of the dtypes that are taken: itself, or converted where every value is kept.
 * @param label what messages call it
 * @throws DTypeError with the first value that does not fit
 */
export function convert(command: string, label: string, t: Tensor, dtypes: readonly DType[]): Tensor {
  if (dtypes.includes(t.dtype)) return t;
  const takes = `it takes ${dtypes.join(' or ')}`;
  const to = conversions[t.dtype].find((d) => dtypes.includes(d));
  if (to === undefined) throw new DTypeError(command, `${label} has dtype ${t.dtype}; ${takes}`);
  const data = allocate(to, t.size);
  for (let i = 0; i < t.size; i++) {
    const value = t.data[i]!;
    data[i] = value;
    // A NaN is not equal to itself and stays one; everything else must come back.
    if (data[i] !== value && !Number.isNaN(value)) {
      const why = `its value ${value} at position ${i} does not fit in ${to}`;
      throw new DTypeError(command, `${label} has dtype ${t.dtype}, ${takes}, and ${why}`);
    }
  }
  return new Tensor(to, t.shape, data);
}

function checkValues(command: string, op: string, field: TensorField, t: Tensor): void {
  const refused = field.refuses?.map(Number) ?? [];
  if (refused.length === 0) return;
  const at = t.data.findIndex((value) => refused.some((r) => Object.is(r, value)));
  if (at < 0) return;
  const why = `it must hold no ${field.refuses?.join(', ')}`;
  throw new ArgumentError(command, `${op}: ${field.name} is ${t.data[at]} at position ${at}; ${why}`);
}

/** Where the outputs of an operator go: which tensors into which file. */
export interface OutputPlan {
  readonly path: string;
  readonly format: 'safetensors' | 'npy';
  /** Names of outputs; `undefined` takes all that the operator returns. */
  readonly name: string | undefined;
}

/** Work out what `--out` asks for, before anything is computed. */
export function planOutputs(command: string, contract: Contract, files: readonly string[]): OutputPlan[] {
  const names = contract.outputs.map(showName);
  return files.map((text) => {
    const { name, path } = parseFile(text);
    if (name !== undefined && fieldOf(contract.outputs, name) === undefined) {
      const hint = suggest(name, names) || `; it returns ${names.join(', ')}`;
      throw new ArgumentError(command, `${contract.name} has no output "${name}"${hint}`);
    }
    const extension = /\.([^./\\]*)$/.exec(path)?.[1]?.toLowerCase();
    if (extension === 'npy') {
      const only = names.length === 1 && !contract.outputs[0]?.list ? names[0] : undefined;
      if (name === undefined && only === undefined) {
        const example = `--out ${names[0]}=${path}`;
        throw new ArgumentError(command, `${path} can hold one of ${names.join(', ')}; choose: ${example}`);
      }
      return { path, format: 'npy', name: name ?? only };
    }
    // Devices and pipes such as /dev/stdout have no extension.
    if (extension !== undefined && extension !== 'safetensors') {
      throw new ArgumentError(command, `cannot tell the format of ${path}; end it with .safetensors or .npy`);
    }
    return { path, format: 'safetensors', name };
  });
}

/** The files that an output plan asks for. */
export function outputFiles(
  command: string,
  plan: readonly OutputPlan[],
  tensors: Readonly<Record<string, Tensor>>,
): OutputFile[] {
  return plan.map(({ path, format, name }) => {
    const chosen = Object.entries(tensors).filter(([key]) => name === undefined || key === name);
    const [first] = chosen;
    if (first === undefined) {
      throw new ArgumentError(
        command,
        `this call returns no "${name}"; it returned ${Object.keys(tensors).join(', ')}`,
      );
    }
    return { path, chunks: format === 'npy' ? npyChunks(first[1]) : safetensorsChunks(chosen) };
  });
}
