/** A hook for `globalSetup` or `globalTeardown`, or for a hook of yours that replaces it. */
declare function hook(globalConfig: any, projectConfig: any): Promise<void>;
export = hook;
