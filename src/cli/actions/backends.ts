import type { Backend } from '../../core/backend.ts';
import { ArgumentError } from '../../core/errors.ts';
import type { AnyTensor } from '../../core/tensor.ts';

/** Options that choose where a model runs. */
export interface TwinOptions {
  readonly twin: 'ref' | 'gpu';
  readonly adapter?: string;
}

/** Open the chosen twin, hand it to the body, and close it in any case. */
export async function withBackend<R>(
  command: string,
  { twin, adapter }: TwinOptions,
  body: <T extends AnyTensor>(backend: Backend<T>) => Promise<R>,
): Promise<R> {
  if (twin === 'ref') {
    if (adapter !== undefined) throw new ArgumentError(command, '--adapter chooses a GPU; add --twin gpu');
    const { refBackend } = await import('../../ref/backend.ts');
    return body(refBackend);
  }
  const { openGpu } = await import('../../gpu/index.ts');
  await using gpu = await openGpu(adapter === undefined ? {} : { adapter });
  return await body(gpu);
}
