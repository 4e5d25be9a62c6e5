package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/mattfenwick/cyclonus/pkg/connectivity"
	"github.com/mattfenwick/cyclonus/pkg/connectivity/probe"
	"github.com/mattfenwick/cyclonus/pkg/generator"
	"github.com/mattfenwick/cyclonus/pkg/kube"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// standIn is the NetworkPolicy by which Cyclonus expects what a Baseline policy does that denies everything: a
// direction of a pod is denied unless another policy allows the packet. The cluster never has it.
const standIn = "stands-for-baseline"

var (
	namespaces = []string{"x", "y", "z"}
	pods       = []string{"a", "b", "c"}
	ports      = []int{80, 81}
	protocols  = []v1.Protocol{v1.ProtocolTCP, v1.ProtocolUDP}
)

// run does what `cyclonus generate` does, with five differences: the probes of a pod are one command in it (which
// that command has no flag for), no test is left out, -baseline, -sctp, and how pods are found that a test makes (probeBy).
func run() {
	destination := flag.String("destination", generator.ProbeModePodIP, "pod-ip or service-ip")
	baseline := flag.Bool("baseline", false, "expect a Baseline ClusterNetworkPolicy that denies everything")
	sctp := flag.Bool("sctp", true, "probe SCTP, too, and run the tests of it")
	only := flag.String("only", "", "run only the tests whose names match this regular expression")
	list := flag.Bool("list", false, "print the tests' names, and run none")
	wait := flag.Int("wait", 2, "seconds between a change and its probes")
	results := flag.String("results", "results.json", "a file for the results: whether each test passed, by its name")
	flag.Parse()

	mode, err := generator.ParseProbeMode(*destination)
	die(err)
	chosen, err := regexp.Compile(*only)
	die(err)
	if *sctp {
		protocols = append(protocols, v1.ProtocolSCTP)
	}
	if *list {
		for _, test := range tests("192.0.2.1", mode, chosen, *sctp) {
			fmt.Println(test.Description)
		}
		return
	}
	access, err := kube.NewKubernetesForContext("")
	die(err)
	// Some 40 requests put the pods back as they were before each test. Unasked, a client makes 5 in a second.
	access.RestConfig.QPS, access.RestConfig.Burst = 200, 200
	access.ClientSet, err = kubernetes.NewForConfig(access.RestConfig)
	die(err)
	resources, err := probe.NewDefaultResources(access, namespaces, pods, ports, protocols, nil, 180, true, "")
	die(err)
	// Some tests are about the address of this pod.
	target, err := resources.GetPod("z", "c")
	die(err)
	judge(cluster{access}, resources, tests(target.IP, mode, chosen, *sctp), *baseline, *wait, *results)
}

// judge runs the tests, and writes the results again after each, for whoever waits.
func judge(k cluster, resources *probe.Resources, tests []*generator.TestCase, baseline bool, wait int, results string) {
	interpreter := connectivity.NewInterpreter(k, resources, &connectivity.InterpreterConfig{
		ResetClusterBeforeTestCase:       true,
		VerifyClusterStateBeforeTestCase: true,
		KubeProbeRetries:                 3,
		PerturbationWaitSeconds:          wait,
		BatchJobs:                        true,
		IgnoreLoopback:                   true,
	})
	// What a pod sends to itself never leaves it, whatever its policies: Cyclonus judges it as any other packet.
	printer := &connectivity.Printer{IgnoreLoopback: true}
	passed := map[string]bool{}
	waitForServers(interpreter, baseline)
	for _, test := range tests {
		if baseline {
			denyByDefault(test)
		}
		result := interpreter.ExecuteTestCase(test)
		die(result.Err)
		printer.PrintTestCaseResult(result)
		passed[test.Description] = result.Passed(true)
		written, err := json.MarshalIndent(passed, "", "  ")
		die(err)
		die(os.WriteFile(results, written, 0o644))
	}
	printer.PrintSummary()
}

// waitForServers probes without a policy: Cyclonus waits for its pods to run, and on a busy machine their servers
// may not listen yet. Below a Baseline policy nothing can be asked of them.
func waitForServers(interpreter *connectivity.Interpreter, baseline bool) {
	if baseline {
		return
	}
	mode := generator.ProbeMode(generator.ProbeModePodIP)
	nothing := generator.NewTestCase("no policy", generator.NewStringSet(), generator.NewTestStep(generator.NewAllAvailable(mode)))
	for range 10 {
		result := interpreter.ExecuteTestCase(nothing)
		die(result.Err)
		if result.Passed(true) {
			return
		}
	}
	die(errors.New("the pods do not all reach each other without a policy"))
}

// tests gives Cyclonus' tests, each with a name of its own.
func tests(address string, mode generator.ProbeMode, chosen *regexp.Regexp, sctp bool) []*generator.TestCase {
	var found []*generator.TestCase
	all := generator.NewTestCaseGenerator(true, address, namespaces, nil, nil).GenerateTestCases()
	for i, test := range all {
		test.Description = fmt.Sprintf("%d: %s", i+1, test.Description)
		probeBy(test, mode)
		if chosen.MatchString(test.Description) && (sctp || !strings.Contains(test.Description, "sctp")) {
			found = append(found, test)
		}
	}
	return found
}

// probeBy has a test probe pods by this kind of address, and by their own once it made one or gave one other labels:
// Cyclonus forgets the address of such a pod's Service then, and would have each pod ask itself, which is answered.
func probeBy(test *generator.TestCase, mode generator.ProbeMode) {
	for _, step := range test.Steps {
		for _, action := range step.Actions {
			if action.CreatePod != nil || action.SetPodLabels != nil {
				mode = generator.ProbeModePodIP
			}
		}
		probe := *step.Probe // which tests have in common
		probe.Mode = mode
		step.Probe = &probe
	}
}

// denyByDefault makes a test expect that every pod is denied in each direction in which no policy allows a packet.
func denyByDefault(test *generator.TestCase) {
	for i, step := range test.Steps {
		var actions []*generator.Action
		if i == 0 {
			for _, namespace := range namespaces {
				actions = append(actions, expectDenied(namespace))
			}
		}
		for _, action := range step.Actions {
			actions = append(actions, action)
			if action.CreateNamespace != nil {
				actions = append(actions, expectDenied(action.CreateNamespace.Namespace))
			}
		}
		step.Actions = actions
	}
}

func expectDenied(namespace string) *generator.Action {
	return generator.CreatePolicy(&networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: standIn, Namespace: namespace},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		},
	})
}

// cluster is Cyclonus' way into the cluster, which what is only expected does not take.
type cluster struct{ kube.IKubernetes }

func (c cluster) CreateNetworkPolicy(policy *networkingv1.NetworkPolicy) (*networkingv1.NetworkPolicy, error) {
	if policy.Name == standIn {
		return policy, nil
	}
	return c.IKubernetes.CreateNetworkPolicy(policy)
}

func die(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%+v\n", err)
		os.Exit(2)
	}
}
