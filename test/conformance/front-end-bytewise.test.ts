import { testFrontEnds } from "./front-ends.js";

testFrontEnds({ speech: "bytewise", kept: true });
