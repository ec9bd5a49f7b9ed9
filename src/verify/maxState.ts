import { type Tensor, tensor } from '../core/tensor.ts';
import { maxState } from '../ref/maxState.ts';
import { type Case, noiseArray } from './case.ts';

const hard = [0, -0, 1e-45, -1e-45, 1, 1, -1, 0.5, -2, -2, 3, -3];

/** Numbers with many ties, both zeros and subnormals, and none too large to compute with. */
function hardArray(length: number, seed: number): Float32Array {
  return Float32Array.from(noiseArray(length, seed), (p) => hard[Math.floor((p + 1) * 6)]!);
}

function flags(batch: number, length: number, seed: number, share: number): Tensor {
  return tensor(
    [batch, length],
    Uint32Array.from(noiseArray(batch * length, seed), (v) => Number(v < 2 * share - 1)),
  );
}

const alphas = (): Tensor => tensor([5], [0.5, 0.25, -0.5, 0.75, 0.5]);

/** The inputs of a forward call, and of its backward. */
function layer(batch: number, length: number, channels: number): Record<string, Tensor> {
  return {
    abc: tensor([batch, length, 3 * channels], noiseArray(batch * length * channels * 3, 1)),
    alphas: alphas(),
  };
}

function hardLayer(batch: number, length: number, channels: number): Record<string, Tensor> {
  return {
    abc: tensor([batch, length, 3 * channels], hardArray(batch * length * channels * 3, 2)),
    alphas: alphas(),
    mask: flags(batch, length, 3, 0.7),
    reset: flags(batch, length, 4, 0.1),
  };
}

function backward(inputs: Record<string, Tensor>, carryIn?: Tensor): Record<string, Tensor> {
  const { abc, alphas, ...optional } = inputs;
  const { y, carryOut, states } = maxState(abc!, alphas!, { ...optional, ...(carryIn && { carryIn }) });
  return {
    ...inputs,
    states,
    dy: tensor(y.shape, noiseArray(y.size, 5)),
    dCarryOut: tensor(carryOut.shape, noiseArray(carryOut.size, 6)),
  };
}

/** Elements of one plane of the seed's layer. */
const plane = 32 * 49 * 512;
const statesBytes = 32 * 4 * 512 * 4;

export const cases: readonly Case[] = [
  {
    op: 'maxState',
    label: 'one layer of the seed',
    shape: '[32, 49, 1536]',
    inputs: () => layer(32, 49, 512),
    independent: true,
    bytes: plane * 16 + statesBytes,
  },
  {
    op: 'maxState',
    label: 'one long sequence',
    shape: '[1, 5003, 24]',
    inputs: () => layer(1, 5003, 8),
  },
  {
    op: 'maxState',
    label: 'ties, zeros, subnormals; carry, mask and reset',
    shape: '[3, 131, 15]',
    inputs: () => ({ ...hardLayer(3, 131, 5), carryIn: tensor([3, 5], hardArray(15, 7)) }),
  },
  {
    op: 'maxState',
    label: 'a cap among ties, zeros, subnormals; carry, mask and reset',
    shape: '[3, 131, 12]',
    inputs: () => ({ ...hardLayer(3, 131, 4), carryIn: tensor([3, 4], hardArray(12, 7)) }),
    options: { cap: 0.5 },
  },
  {
    op: 'maxStateBackward',
    label: 'a cap among ties, zeros, subnormals; carry, mask and reset',
    shape: '[3, 131, 12]',
    inputs: () => backward(hardLayer(3, 131, 4), tensor([3, 4], hardArray(12, 7))),
    options: { cap: 0.5 },
  },
  {
    op: 'maxStateBackward',
    label: 'one layer of the seed',
    shape: '[32, 49, 1536]',
    inputs: () => backward(layer(32, 49, 512)),
    independent: true,
    bytes: plane * 28 + statesBytes,
  },
  {
    op: 'maxStateBackward',
    label: 'ties, zeros, subnormals; carry, mask and reset',
    shape: '[3, 131, 15]',
    inputs: () => backward(hardLayer(3, 131, 5), tensor([3, 5], hardArray(15, 7))),
  },
];
