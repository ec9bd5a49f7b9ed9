import { EngineError, UnsupportedError } from '../../core/errors.ts';

/**
 * A package that only some users install.
 * @param purpose what needs it, for the message
 * @throws UnsupportedError, with the command that installs it
 */
export async function optionalPackage<T>(op: string, name: string, purpose: string): Promise<T> {
  try {
    return (await import(name)) as T;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_MODULE_NOT_FOUND' && message.includes(`'${name}'`))
      throw new UnsupportedError(op, `${purpose} needs the package ${name}; npm install ${name}`, {
        cause: error,
      });
    // Installed, but not for this machine, or without a package that it needs.
    throw new EngineError(op, `the package ${name} does not load: ${message.split('\n', 1)[0]}`, {
      cause: error,
    });
  }
}
