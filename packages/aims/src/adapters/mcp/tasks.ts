import type { WorkloadId } from '../../identifiers/spiffe-id.ts'
import { isRecord, type McpMessage } from './messages.ts'
import { createOwned, type Owned } from './owned.ts'

/** Tasks that one caller may have. */
const PER_CALLER = 1000
const TOTAL = 100_000

const kept = new WeakMap<object, Owned>()

/** Whose the tasks are of all servers that one authorizer decides for: a server without sessions is made for each request. */
export function tasksOf(authorizer: object): Owned {
  const tasks = kept.get(authorizer) ?? createOwned({ perOwner: PER_CALLER, total: TOTAL })
  kept.set(authorizer, tasks)
  return tasks
}

/**
 * The answer as its caller may have it: a task that it hands out is noted, and tasks of others are not in its list.
 *
 * @param caller - Absent: nobody knows whose answer it is, and no task is its.
 */
export function answerWithTasks(answer: McpMessage, caller: WorkloadId | undefined, tasks: Owned): McpMessage {
  const { result } = answer
  if (result === undefined) return answer
  const made = taskIdOf(result.task)
  if (made !== undefined && caller !== undefined) tasks.open(made, caller)
  if (!Array.isArray(result.tasks)) return answer
  const isOwn = (task: unknown): boolean => caller !== undefined && tasks.ownerOf(taskIdOf(task) ?? '') === caller
  const own = result.tasks.filter(isOwn)
  return { ...answer, result: { ...result, tasks: own } }
}

function taskIdOf(task: unknown): string | undefined {
  return isRecord(task) && typeof task.taskId === 'string' ? task.taskId : undefined
}
