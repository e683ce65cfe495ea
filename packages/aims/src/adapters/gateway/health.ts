import { drain, gatewayServer, type ListenAddress, listenOn, type RunningGateway } from './listen.ts'

/** Answers every request with 200 until it is closed: close it before the gateway, and load balancers send no more. */
export async function startHealth(listen: ListenAddress): Promise<RunningGateway> {
  const server = gatewayServer((request, response) => {
    request.resume()
    response.setHeader('cache-control', 'no-store')
    response.end('ok\n')
  }, undefined)
  return await listenOn(server, listen, { scheme: 'http', stop: () => drain(server) })
}
