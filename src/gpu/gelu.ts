import { activations } from '../core/ops/gatedFfn.ts';
import { type GeluForm, type GeluOptions, planGelu, planGeluBackward } from '../core/ops/gelu.ts';
import { elementwise } from './runtime/elementwise.ts';
import type { Gpu } from './runtime/gpu.ts';
import type { GpuTensor } from './runtime/gpuTensor.ts';

/** The kernel twin of `ref.gelu`; the contract is `Ops.gelu`. */
export function gelu(gpu: Gpu, x: GpuTensor, options: GeluOptions = {}): GpuTensor {
  const { size, form } = planGelu(x, options);
  return gpu.run('gelu', [x], () => {
    const y = gpu.empty('f32', x.shape);
    gpu.dispatch({ ...kernel(gpu, 'gelu', size, form), reads: [x], writes: [y] });
    return y;
  });
}

/** The kernel twin of `ref.geluBackward`; the contract is `Ops.geluBackward`. */
export function geluBackward(gpu: Gpu, dy: GpuTensor, x: GpuTensor, options: GeluOptions = {}): GpuTensor {
  const { size, form } = planGeluBackward(dy, x, options);
  return gpu.run('geluBackward', [dy, x], () => {
    const dx = gpu.empty('f32', dy.shape);
    gpu.dispatch({ ...kernel(gpu, 'geluBackward', size, form), reads: [x, dy], writes: [dx] });
    return dx;
  });
}

function kernel(gpu: Gpu, entry: string, size: number, form: GeluForm) {
  const { constants, groups } = elementwise(gpu, size);
  const ACTIVATION = activations.indexOf(form === 'exact' ? 'gelu' : 'geluTanh');
  return { file: 'gelu.wgsl', entry, params: [size], constants: { ...constants, ACTIVATION }, groups };
}
