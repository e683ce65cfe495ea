/** Where `aims dev` keeps everything, relative to the working directory. */
export const DEV_DIRECTORY = '.aims/dev'
