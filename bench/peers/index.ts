/** The peers that are installed here, by the names under which the bench lists them. */
import type { Peer } from '../support/work.ts';
import { installBrowserGpu } from './environment.ts';

/**
 * Load the peers. A peer that cannot be loaded is reported, not passed over.
 * @param gpu what `create` of the package `webgpu` returned, with the adapter to use; without one, those for the CPU
 * @param globals the GPU classes of that package
 */
export async function loadPeers(
  gpu: GPU | undefined,
  globals: object,
): Promise<{ peers: Peer[]; failed: string[] }> {
  if (gpu !== undefined) installBrowserGpu(gpu, globals);
  const peers: Peer[] = [];
  const failed: string[] = [];
  const load = async (name: string, make: () => Promise<Peer[]>): Promise<void> => {
    try {
      peers.push(...(await make()));
    } catch (error) {
      failed.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const onGpu = gpu !== undefined;
  await load('tfjs', async () => {
    const { tfjs } = await import('./tfjs.ts');
    return [...(onGpu ? [tfjs('webgpu')] : []), tfjs('wasm'), tfjs('cpu')];
  });
  await load('onnxruntime', async () => {
    const { ortWeb, ortNode } = await import('./ort.ts');
    return [...(onGpu ? [ortWeb('webgpu'), ortNode('webgpu')] : []), ortWeb('wasm'), ortNode('cpu')];
  });
  await load('jax-js', async () => {
    const { jaxJs } = await import('./jax.ts');
    return [...(onGpu ? [jaxJs('webgpu')] : []), jaxJs('wasm')];
  });
  return { peers, failed };
}
