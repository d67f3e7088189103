/** Express 4 under its alias, in the types of Express 5: they differ in what no test uses. */
declare module 'express4' {
  import express from 'express'
  export default express
}
