import { ArgumentError, FormatError } from '../../core/errors.ts';
import { checkOutputs, openFile, writeFiles } from '../../core/formats/files.ts';
import { readSafetensors, safetensorsChunks } from '../../core/formats/safetensors.ts';
import { type AnyTensor, show, type Tensor, tensor } from '../../core/tensor.ts';
import { type SamOutConfig, samOutConfig } from '../../models/samOut/config.ts';
import { SamOut, type SamOutState } from '../../models/samOut/model.ts';
import { configOf, fromStateDict, toStateDict } from '../../models/samOut/stateDict.ts';
import { SamOutTrainer } from '../../models/samOut/trainer.ts';
import { progress, say } from '../frame.ts';
import { type TwinOptions, withBackend } from './backends.ts';

interface CheckpointOptions extends TwinOptions {
  readonly checkpoint: string;
  readonly config: string;
  readonly out: string;
}

/** `subvocab samout logits` */
export async function logits(
  options: CheckpointOptions & { readonly ids: string; readonly incremental?: boolean },
): Promise<void> {
  const command = 'samout logits';
  checkOutputs(command, [options.out]);
  const { config, parameters } = readCheckpoint(command, options);
  const ids = take(command, options.ids, 'ids', 2);
  if (ids.size === 0) {
    throw new ArgumentError(
      command,
      `ids in ${options.ids} has shape ${show(ids.shape)}; there must be a sequence of at least one id`,
    );
  }
  await withBackend(command, options, async (backend) => {
    using model = new SamOut(backend, config, parameters);
    const result = options.incremental ? await stepByStep(model, ids) : await allAtOnce(model, ids);
    await writeFiles(command, [{ path: options.out, chunks: safetensorsChunks([['logits', result]]) }]);
  });
  say(`wrote ${options.out}`);
}

/** `subvocab samout fit` */
export async function fit(
  options: CheckpointOptions & {
    readonly tokens: string;
    readonly steps: number;
    readonly lr: number;
    readonly ignoreIndex: number;
  },
): Promise<void> {
  const command = 'samout fit';
  checkOutputs(command, [options.out]);
  const { config, parameters } = readCheckpoint(command, options);
  const tokens = take(command, options.tokens, 'tokens', 3);
  const [steps = 0, batch = 0, length = 0] = tokens.shape;
  if (options.steps > steps) {
    throw new ArgumentError(
      command,
      `--steps is ${options.steps}, but ${options.tokens} holds ${steps} batches`,
    );
  }
  const line = progress();
  await withBackend(command, options, async (backend) => {
    using model = new SamOut(backend, config, parameters);
    using trainer = new SamOutTrainer(model, { lr: options.lr, ignoreIndex: options.ignoreIndex });
    const losses: number[] = [];
    for (let i = 0; i < options.steps; i++) {
      const rows = (tokens.data as Int32Array).slice(i * batch * length, (i + 1) * batch * length);
      const { loss } = await trainer.train(tensor([batch, length], rows));
      losses.push(loss);
      line.show(`step ${i + 1} of ${options.steps}: loss ${loss.toFixed(4)}`);
    }
    line.clear();
    const dict = { ...toStateDict(await model.read()), losses: tensor([losses.length], losses) };
    await writeFiles(command, [{ path: options.out, chunks: safetensorsChunks(Object.entries(dict)) }]);
  });
  say(`wrote ${options.out}`);
}

/** A checkpoint with PyTorch's names, and the configuration that its shapes and `--config` give. */
function readCheckpoint(command: string, { checkpoint, config: given }: CheckpointOptions) {
  let extra: Partial<SamOutConfig>;
  try {
    extra = JSON.parse(given) as Partial<SamOutConfig>;
  } catch (error) {
    throw new ArgumentError(command, `--config is not JSON: ${(error as Error).message}`);
  }
  if (typeof extra !== 'object' || extra === null || Array.isArray(extra)) {
    throw new ArgumentError(command, `--config must be an object such as '{"paddingIndex": 259}'`);
  }
  const dict = readAll(command, checkpoint);
  // The losses that `fit` adds are no part of the model.
  dict.delete('losses');
  const tensors = Object.fromEntries(dict);
  const told = configOf(tensors);
  const paddingIndex = Math.min(259, told.vocabulary - 1);
  const config = samOutConfig({ heads: 1, paddingIndex, ...told, ...extra });
  return { config, parameters: fromStateDict(config, tensors) };
}

function readAll(command: string, path: string): Map<string, Tensor> {
  using file = openFile(command, path);
  return readSafetensors(file).tensors;
}

/** One integer tensor of a file, as i32. */
function take(command: string, path: string, name: string, rank: number): Tensor {
  const t = readAll(command, path).get(name);
  if (t === undefined) throw new FormatError(command, `${path} holds no tensor "${name}"`);
  if ((t.dtype !== 'i32' && t.dtype !== 'u32') || t.shape.length !== rank) {
    throw new FormatError(
      command,
      `${name} in ${path} has dtype ${t.dtype} and shape ${show(t.shape)}; it must be integers of rank ${rank}`,
    );
  }
  return t.dtype === 'i32' ? t : tensor(t.shape, Int32Array.from(t.data), 'i32');
}

async function allAtOnce<T extends AnyTensor>(model: SamOut<T>, ids: Tensor): Promise<Tensor> {
  const made = model.forward(ids);
  made.state[Symbol.dispose]();
  using result = made.logits;
  return await model.backend.read(result);
}

async function stepByStep<T extends AnyTensor>(model: SamOut<T>, ids: Tensor): Promise<Tensor> {
  const [batch = 0, length = 0] = ids.shape;
  const words = model.config.vocabulary;
  const all = new Float32Array(batch * length * words);
  let state: SamOutState<T> | undefined;
  for (let t = 0; t < length; t++) {
    const column = Int32Array.from({ length: batch }, (_, b) => ids.data[b * length + t]!);
    const made = model.forward(tensor([batch, 1], column), state);
    state?.[Symbol.dispose]();
    state = made.state;
    using result = made.logits;
    const { data } = await model.backend.read(result);
    for (let b = 0; b < batch; b++) {
      all.set((data as Float32Array).subarray(b * words, (b + 1) * words), (b * length + t) * words);
    }
  }
  state?.[Symbol.dispose]();
  return tensor([batch, length, words], all);
}
